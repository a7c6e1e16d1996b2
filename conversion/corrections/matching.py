"""Choose threshold, start and bias of every channel by what its neurons send, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from conversion.corrections.base import Correction
from conversion.corrections.weights import DESCENT, fit_weights
from conversion.errors import RecipeError
from conversion.fitting.facts import Calibration
from conversion.fitting.spiking_pass import Arrival, SpikingPass
from conversion.parts import check, register, searched
from conversion.plan.layer import SpikingLayer, per_channel
from conversion.simulation.choice import backend_for
from conversion.simulation.trials import Starts

TRIED = 3  # times what simulating the images takes: currents, trials, spikes; measured with ResNet-20
MOST_BYTES = 512 * 2**20  # currents of one layer


@register
@dataclass(frozen=True)
class RateMatching(Correction):
    """Fit every channel to the spike trains that really arrive.

    A threshold that is best for the mean input is not best for a spike train: charge comes in bursts,
    early input is a poor estimate of the mean, and a neuron that sends one spike at most cannot catch
    up. So the layers are fitted in the order of computation, with all earlier ones already spiking. Two
    things are tried for every channel, in turns:

        threshold   m θ, with m from `low` to `high`: above 1 leaves room to catch up, up to the bound
                    of an activation that has one
        caution     the membrane starts d thresholds lower and gains d / T more in every step: the same
                    charge at T, but early spikes, which may be wrong and cost most, wait

    each time with the bias that makes the mean rate equal the ANN's mean activation. What gives
    rates of the least squared error against the ANN's activations is kept, or the layer stays as it
    was where nothing is better. Neurons of a channel share their fit, so images of other
    sizes can follow. T must be known.

    Parameters:
        low, high, candidates: multiples of the threshold, evenly spaced.
        haste, caution, cautions: number and range of d, in thresholds, evenly spaced from -haste (a
            higher start) to caution.
        rounds: how often each of the two is tried after the other.
        images: calibration images that take part; fewer where the currents of one layer over T steps
            would fill more than 512 MiB, but at least 8.
        samples: neurons of each channel, over all images, that the grid is judged on.
        iterations: steps of Adam that refit each layer's weights to the spikes that arrive, before
            anything else is tried; see `fit_weights`. 0: weights stay as they are.
        batch, learning_rate: of these steps, as in correction "layerwise".
        time_steps: T; 0: the T of each read-out, for which the network is then fitted again.

    Source: this project; docs/spikemark.md. The bias is that of Li et al. 2021, arXiv 2106.06984,
    and so are the weights' steps.
    """

    name: ClassVar[str] = "rate-matching"
    telescopes: ClassVar[bool] = True
    low: float = 0.5
    high: float = 1.5
    candidates: int = 11
    haste: float = 0.25
    caution: float = searched(1.0, 0.0, 2.0)  # thresholds
    cautions: int = 6
    rounds: int = 2
    images: int = 256
    samples: int = 8192
    iterations: int = 0
    batch: int = 32
    learning_rate: float = 3e-4
    time_steps: int = 0

    def __post_init__(self) -> None:
        check(0 < self.low <= 1 <= self.high, f"low <= 1 <= high, got {self.low} and {self.high}")
        for name in ("haste", "caution"):
            check(getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("candidates", "cautions", "rounds", "images", "samples", "batch"):
            check(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        check(self.iterations >= 0, f"iterations must not be negative, got {self.iterations}")
        check(self.learning_rate > 0, f"learning_rate must be positive, got {self.learning_rate}")
        check(self.time_steps >= 0, f"time_steps must be positive, or 0 for T, got {self.time_steps}")

    @property
    def needs_time_steps(self) -> bool:
        """True unless T is given."""
        return not self.time_steps

    @property
    def changes_weights(self) -> bool:
        """True where weights are refitted."""
        return self.iterations > 0

    @property
    def floor(self) -> str:
        """Weights that suit the calibration images, or what was fitted for another T."""
        if self.iterations:
            return "refits weights to the calibration images"
        return f"is fitted for T = {self.time_steps}" if self.time_steps else ""

    def fit_forwards(self, images: int, time_steps: int) -> int:
        """ANN forwards that a fit for T costs, a time step counted as one; of so many calibration images."""
        seen, steps = min(self.images, images), self.time_steps or time_steps
        return TRIED * seen * steps + DESCENT * self.iterations * min(self.batch, seen)

    def fit(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """Layers with threshold, initial potential and offset chosen by channel; may change weights."""
        neuron = calibration.plan.neuron
        if neuron.whole_window or neuron.coding.needs_rest:
            raise RecipeError(
                f"correction '{self.name}' follows rate-coded spikes step by step; neuron '{neuron.name}' "
                "sends others"
            )
        steps = self.time_steps or calibration.time_steps
        assert steps is not None
        images = calibration.images(self._affordable(calibration, steps))
        ann = calibration.ann(images)
        return SpikingPass(calibration.plan, layers, images, steps, self._match, ann).fit()

    def _affordable(self, calibration: Calibration, steps: int) -> int:
        """Images whose currents fit into memory in every layer."""
        shapes = [calibration.plan.shapes[node] for node, _ in calibration.neuron_layers]
        largest = max((shape[1:].numel() for shape in shapes), default=1)
        return min(self.images, max(8, MOST_BYTES // (4 * steps * largest)))

    def _match(self, arrival: Arrival) -> None:
        """Replace the arriving layer by the best candidate of each channel."""
        if self.iterations:
            fit_weights(arrival, self.iterations, self.batch, self.learning_rate)
        ndim = arrival.activation.ndim
        sample = arrival.sample(self.samples, arrival.axis)
        neuron, wanted = arrival.layer.neuron, sample.wanted.mean(1)
        backend = backend_for(sample.current)
        best = given = _Fit.of(arrival.layer, len(wanted), arrival.steps)
        error = backend.try_starts(neuron, sample, best.starts).error[0]
        highest = arrival.layer.highest_threshold  # of an activation with an upper bound
        thresholds = (given.threshold * self._multiples.to(given.threshold)[:, None]).clamp(max=highest)
        cautions = self._cautions.to(given.caution)[:, None].expand(-1, len(wanted))
        for _ in range(self.rounds):
            for name, values in (("threshold", thresholds), ("caution", cautions)):
                change: dict[str, Any] = {name: values, "bias": given.bias}
                trial = replace(best, **change)
                missing = wanted - backend.try_starts(neuron, sample, trial.starts).mean
                trial = replace(trial, bias=given.bias + missing)
                least, which = backend.try_starts(neuron, sample, trial.starts).error.min(0)
                best = best.where(least < error, trial.of_each_channel(which))
                error = torch.minimum(error, least)
        arrival.layer = best.of_layer(arrival.layer, ndim, arrival.axis)

    @property
    def _multiples(self) -> Tensor:
        return torch.linspace(self.low, self.high, self.candidates)

    @property
    def _cautions(self) -> Tensor:
        return torch.linspace(-self.haste, self.caution, self.cautions)


@dataclass(frozen=True)
class _Fit:
    """What the neurons of each channel start from; all [C], or [K, C] of K trials."""

    threshold: Tensor
    initial: Tensor  # in thresholds, before caution
    bias: Tensor  # current of every step, in units of the activation
    caution: Tensor  # in thresholds: held back at the start, given back over T steps
    steps: int

    @classmethod
    def of(cls, layer: SpikingLayer, channels: int, steps: int) -> _Fit:
        threshold = layer.threshold.flatten().expand(channels)
        initial = layer.initial.flatten().expand(channels)
        bias = threshold.new_zeros(1) if layer.offset is None else layer.offset.flatten()
        bias = bias.expand(channels)
        return cls(threshold, initial, bias, torch.zeros_like(threshold), steps)

    @property
    def offset(self) -> Tensor:
        """Constant current of every step, in units of the activation."""
        return self.bias + self.caution * self.threshold / self.steps

    @property
    def starts(self) -> Starts:
        """The same for a backend, [K, C]."""
        found = torch.broadcast_tensors(self.threshold, self.initial - self.caution, self.offset)
        return Starts(*(values.reshape(-1, values.shape[-1]) for values in found))

    def of_each_channel(self, which: Tensor) -> _Fit:
        """Of K trials, the one that each channel names [C]."""

        def chosen(values: Tensor) -> Tensor:
            return values.gather(0, which[None])[0] if values.ndim == 2 else values

        threshold, initial, bias, caution = map(
            chosen, (self.threshold, self.initial, self.bias, self.caution)
        )
        return _Fit(threshold, initial, bias, caution, self.steps)

    def where(self, better: Tensor, other: _Fit) -> _Fit:
        """The other's values in channels where it is better [C]."""
        names = ("threshold", "initial", "bias", "caution")
        chosen: dict[str, Any] = {
            name: torch.where(better, getattr(other, name), getattr(self, name)) for name in names
        }
        return replace(self, **chosen)

    def of_layer(self, layer: SpikingLayer, ndim: int, axis: int = 1) -> SpikingLayer:
        """The layer with this fit, for activations of `ndim` axes with channels along one."""
        return replace(
            layer,
            threshold=per_channel(self.threshold, ndim, axis),
            initial=per_channel(self.initial - self.caution, ndim, axis),
            offset=per_channel(self.offset, ndim, axis),
        )
