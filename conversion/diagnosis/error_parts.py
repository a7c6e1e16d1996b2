"""Where the error of a spiking neuron layer comes from: four parts that add up to all of it.

With activation a and input z of the ANN's neuron, threshold θ, at most γ spikes a step, initial
membrane v0 (in thresholds), mean input z̄ of the spiking neuron over steps 1..t, and its rate
r = θ (net spikes up to t) / t, let

    q(x) = (θ / t) clip(floor(x t / θ + v0), 0, γ t)

be the rate at constant input x. It is exact for integrate-and-fire and burst neurons at 0 <= v0 < 1;
neurons with another closed form bring it along (`Neuron.constant`).
The error r - a then is the sum of

    clipping      min(a, γθ) - a       activations above what any spike train can send; never positive
    quantisation  q(z) - min(a, γθ)    rates are multiples of θ / t, even with perfect input
    input         q(z̄) - q(z)          the mean input is wrong: errors of the layers before, pooling
    unevenness    r - q(z̄)             the mean input comes at the wrong times: spikes that came too
                                       early, charge that is still in the membrane

Each part is a difference of successive values from a to r, so the signed parts add up exactly, for
every neuron and for every mean. Their absolute values do not: parts of opposite sign cancel.

γ is the most spikes that the neuron sends in one step (1 for integrate-and-fire). A burst neuron
thus has its clipping at γθ, and the same grid θ / t below it. Of a spike-calibrated neuron the net
spikes count: what it does beyond a burst neuron, taking spikes back, shows in the unevenness.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, astuple, dataclass
from math import inf, sqrt
from typing import Any

import torch
from torch import Tensor

from conversion.neurons import Neuron


@dataclass(frozen=True)
class ErrorParts:
    """One number for each part of the error, in units of the layer's activation."""

    clipping: float
    quantisation: float
    input: float
    unevenness: float

    @property
    def total(self) -> float:
        """Sum of the parts; of signed means, the mean error."""
        parts: tuple[float, ...] = astuple(self)
        return sum(parts)


@dataclass(frozen=True)
class LayerError:
    """One neuron layer at one time step; means run over its neurons and all images."""

    layer: str
    depth: int  # 1 is the first neuron layer in the order of computation
    t: int
    neurons: int  # of one image
    threshold: float  # mean over channels
    ann_mean: float  # a
    snn_mean: float  # r
    relative_error: float  # ||r - a|| / ||a||; infinite where only the ANN is silent
    mean_error: float  # r - a, signed
    absolute_error: float  # |r - a|
    signed: ErrorParts  # means that add up to mean_error
    absolute: ErrorParts  # means of absolute values
    sin_neurons: float  # of the neurons with a <= 0, the share whose net output is positive
    sin_spikes: float  # of all spikes, the share sent by neurons with a <= 0
    rate: float  # spikes per neuron and step; a negative spike counts as one
    saturated: float  # share of neurons that sent all the spikes they could

    def to_row(self) -> dict[str, Any]:
        """Plain values; parts as `clipping` (mean absolute) and `clipping_signed`, and so on."""
        row = asdict(self)
        signed, absolute = row.pop("signed"), row.pop("absolute")
        return {**row, **absolute, **{f"{name}_signed": value for name, value in signed.items()}}


@dataclass(frozen=True)
class Observation:
    """A neuron layer on one batch: the ANN, and the spiking network after t steps; all [B, ...]."""

    activation: Tensor  # a
    drive: Tensor  # z, input of the ANN's neuron
    charge: Tensor  # sum of the spiking neuron's input currents, t z̄
    net: Tensor  # spikes less negative spikes
    sent: Tensor  # spikes and negative spikes


class Tally:
    """Sums over batches for one layer and time step, in double precision.

    Args:
        threshold: broadcastable to the layer's activations.
        t: time steps.
        initial: initial membrane potential, in thresholds.
        neuron: its rate at constant input is q.
    """

    def __init__(self, threshold: Tensor, t: int, initial: Tensor | float, neuron: Neuron) -> None:
        self._threshold = threshold.double()
        self._t = t
        self._initial = initial
        self._neuron = neuron
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._neurons = 0

    def add(self, seen: Observation) -> None:
        """Add one batch."""
        t, theta = self._t, self._threshold
        a, z, net = seen.activation.double(), seen.drive.double(), seen.net.double()
        most, least = self._neuron.max_per_step, self._neuron.least_per_step
        reachable = a.clamp(least * theta, most * theta)
        ideal = self._constant_rate(z * t)
        driven = self._constant_rate(seen.charge.double())
        rate = net * theta / t
        parts = {
            "clipping": reachable - a,
            "quantisation": ideal - reachable,
            "input": driven - ideal,
            "unevenness": rate - driven,
            "error": rate - a,
        }
        silent = a == 0 if least else a <= 0
        sums = {f"{name}+": part for name, part in parts.items()}
        sums |= {f"{name}|": part.abs() for name, part in parts.items()}
        sums |= {
            "count": torch.ones_like(a),
            "a": a,
            "r": rate,
            "a²": a.square(),
            "error²": parts["error"].square(),
            "silent": silent,
            "silent but firing": silent & (net > 0),
            "sent": seen.sent,
            "sent by silent": seen.sent * silent,
            "saturated": (net >= most * t) | (net <= least * t) if least else net >= most * t,
        }
        for name, value in sums.items():
            self._sums[name] += float(value.sum(dtype=torch.float64))
        self._neurons = a[0].numel()

    def _constant_rate(self, charge: Tensor) -> Tensor:
        """Rate after t steps of constant input, q(charge / t)."""
        theta = self._threshold
        return self._neuron.constant(charge / theta, self._initial, self._t) * theta / self._t

    def result(self, layer: str, depth: int) -> LayerError:
        """Means over everything added."""
        sums = self._sums
        count = sums["count"]
        norm, error = sqrt(sums["a²"]), sqrt(sums["error²"])
        return LayerError(
            layer=layer,
            depth=depth,
            t=self._t,
            neurons=self._neurons,
            threshold=float(self._threshold.mean()),
            ann_mean=sums["a"] / count,
            snn_mean=sums["r"] / count,
            relative_error=error / norm if norm else (inf if error else 0.0),
            mean_error=sums["error+"] / count,
            absolute_error=sums["error|"] / count,
            signed=self._parts("+"),
            absolute=self._parts("|"),
            sin_neurons=sums["silent but firing"] / max(sums["silent"], 1),
            sin_spikes=sums["sent by silent"] / max(sums["sent"], 1),
            rate=sums["sent"] / (count * self._t),
            saturated=sums["saturated"] / count,
        )

    def _parts(self, kind: str) -> ErrorParts:
        count = self._sums["count"]
        return ErrorParts(
            *(self._sums[name + kind] / count for name in ("clipping", "quantisation", "input", "unevenness"))
        )
