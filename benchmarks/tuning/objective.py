"""What a trial measures: how far a spiking network is from its ANN, or how good it is, read-out by read-out.

What does not depend on the recipe is done once for each network: capturing it, observing its activations, and
running the ANN on the images that trials are judged on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.errors import TuningError
from conversion import PreparedNetwork, Readout, Recipe, prepare
from conversion.converted import DEFAULT_CHUNK, Converted
from conversion.costs.energy import ann_energy_pj, operations_energy_pj
from conversion.neurons import Neuron
from conversion.signals.signals import map_structure
from conversion.simulation.backend import Precision
from lightning_modules.metrics import TaskMetric, kl_divergence


@dataclass(frozen=True)
class TrialReading:
    """A network judged at one read-out."""

    t: int
    t_total: float  # every step run, mean over images
    value: float  # of the objective
    image_steps: float  # time steps simulated so far, summed over images
    energy_ratio: float  # operations model, of the ANN's energy


class TuningSubject:
    """A trained network and the images that all its trials share.

    Args:
        ann: trained network in eval mode; left untouched.
        calibration: batches of images that thresholds are set on.
        batches: (images, targets) that trials are judged on; targets None for the objective "kl".
        new_metric: an empty metric of the task; None for the objective "kl".
        chunk: time steps simulated at once.
        precision: of the simulation.
    """

    def __init__(
        self,
        ann: nn.Module,
        calibration: Sequence[Tensor],
        batches: Sequence[tuple[Tensor, Any]],
        new_metric: Callable[[], TaskMetric] | None = None,
        chunk: int = DEFAULT_CHUNK,
        precision: Precision = "float32",
    ) -> None:
        self.prepared: PreparedNetwork = prepare(ann, calibration)
        self._batches = list(batches)
        self._new_metric = new_metric
        self._chunk, self._precision = chunk, precision
        first = self._batches[0][0]
        # On a processor that others use too, only its own time says how much was done.
        self.clock = time.process_time if first.device.type == "cpu" else time.monotonic
        with torch.no_grad():
            ann(first)  # the first pass also sets things up
            started = self.clock()
            self._reference = [ann(images) for images, _ in self._batches]
            elapsed = self.clock() - started
        self.images = sum(len(images) for images, _ in self._batches)
        self.seconds_per_forward = max(elapsed, 1e-9) / self.images  # of the ANN, one image

    @property
    def measure(self) -> str:
        """What trials are judged by: "kl" or the name of the task's metric."""
        return "kl" if self._new_metric is None else self._new_metric().primary

    @property
    def maximise(self) -> bool:
        """Whether more is better."""
        return self._new_metric is not None

    def readings(self, recipe: Recipe, t: int) -> Generator[TrialReading, None, None]:
        """Convert with a recipe and judge at t = 1, 2, 4, ... and t; stop iterating to stop early.

        All images run side by side, so that the first reading needs one time step of each. A recipe
        that is fitted for one number of time steps is judged at t alone.

        Raises:
            ConversionError: the recipe cannot be fitted.
        """
        steps = read_at(recipe, t)
        network = self.prepared.convert(recipe, recipe.lengths(steps))
        runs = [network.simulate(images, steps, self._chunk, self._precision) for images, _ in self._batches]
        for readouts in zip(*runs, strict=True):
            yield self._read(network, recipe, readouts)

    def _read(self, network: Converted, recipe: Recipe, readouts: Sequence[Readout]) -> TrialReading:
        steps = sum(r.t_total * r.activity.images for r in readouts)
        spikes = max(recipe.neuron.max_per_step, 0)
        wiring = network.connectivity(self._batches[0][0])
        synops: dict[str, float] = {}
        for readout in readouts:
            for name, count in readout.activity.synops.items():
                synops[name] = synops.get(name, 0.0) + count / self.images
        energy = operations_energy_pj(wiring, synops, steps / self.images, recipe.neuron.alphabet)
        return TrialReading(
            readouts[0].t,
            steps / self.images,
            self._value([readout.output for readout in readouts]),
            steps if spikes else self.images,  # what does not spike runs in one pass
            energy / max(ann_energy_pj(wiring), 1e-12),
        )

    def _value(self, outputs: Sequence[Any]) -> float:
        if self._new_metric is None:
            parts = [
                divergence(reference, output) * len(images)
                for reference, output, (images, _) in zip(
                    self._reference, outputs, self._batches, strict=True
                )
            ]
            return sum(parts) / self.images
        metric = self._new_metric()
        for output, (_, targets) in zip(outputs, self._batches, strict=True):
            metric.update(output, targets)
        return float(metric.compute()[metric.primary])


def read_at(recipe: Recipe, t: int) -> list[int]:
    """Time steps at which a trial is judged: powers of two and t, or t alone where each costs a run."""
    neuron = recipe.neuron
    if not isinstance(neuron, Neuron) or neuron.whole_window or recipe.needs_time_steps:
        return [t]
    return [2**power for power in range(t.bit_length()) if 2**power < t] + [t]


def divergence(reference: Any, output: Any) -> float:
    """KL(softmax(reference) || softmax(output)) in nats, mean over images and locations.

    Args:
        reference: output of the ANN, any nest of tensors [B, K, ...] with the K classes on axis 1.
        output: of the spiking network, of the same structure; the divergences of several tensors add.

    Raises:
        TuningError: no tensor has a class axis.
    """
    expected: list[Tensor] = []
    found: list[Tensor] = []
    map_structure(expected.append, Tensor, reference)
    map_structure(found.append, Tensor, output)
    pairs = [(p, q) for p, q in zip(expected, found, strict=True) if p.ndim > 1 and p.shape[1] > 1]
    if not pairs:
        raise TuningError(
            "objective 'kl' compares distributions over classes, but the network's output has no axis of "
            "classes; set objective: metric"
        )
    total = sum(float(kl_divergence(p.float(), q.float()).double().mean()) for p, q in pairs)
    return total if math.isfinite(total) else math.inf
