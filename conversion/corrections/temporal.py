"""A bias for each channel and time step, found by forward passes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from conversion.corrections.base import Correction
from conversion.errors import RecipeError
from conversion.fitting.facts import Calibration
from conversion.fitting.spiking_pass import Arrival, SpikingPass
from conversion.neurons import TimedBias
from conversion.parts import check, register, searched
from conversion.plan.layer import SpikingLayer
from conversion.simulation.choice import backend_for
from conversion.simulation.trials import Starts


@register
@dataclass(frozen=True)
class TemporalBias(Correction):
    """Bias of each channel and time step, so that every step sends the ANN's activation on average.

    Layers are fitted in the order of computation, earlier ones already spiking with their biases. In each
    round, for t = 1, ..., T, with the membranes that the steps before have left,

        b[t, c] <- b[t, c] + rate (mean a - mean θ s_t)

    over images and places of channel c, with a the ANN's activations; then step t fires with the new bias.
    Neurons of a channel share their biases, so images of other sizes can follow. T must be known.

    Parameters:
        rate: share of the missing mean that a round adds.
        rounds: how often all steps are gone through.
        images: calibration images that take part. Memory grows with images times T.
        samples: neurons of each channel, over all images, whose means count.

    Source: Wu et al. 2024 (ECCV), arXiv 2403.18388 (FTBC), and the authors' code: three batches of 200
    images, rate 0.4, and while a layer is fitted each neuron's membrane is corrected by its own error,
    where here it gets the bias that it will have.
    """

    name: ClassVar[str] = "temporal-bias"
    runs_spikes: ClassVar[bool] = True
    rate: float = searched(0.4, 0.05, 1.0, log=True)
    rounds: int = searched(3, 1, 8)
    images: int = 128
    samples: int = 32768

    def __post_init__(self) -> None:
        check(0 < self.rate <= 1, f"rate must be in (0, 1], got {self.rate}")
        for field in ("rounds", "images", "samples"):
            check(getattr(self, field) >= 1, f"{field} must be at least 1, got {getattr(self, field)}")

    @property
    def changes_weights(self) -> bool:
        """No."""
        return False

    @property
    def needs_time_steps(self) -> bool:
        """True: there is a bias for each of T steps."""
        return True

    def fit_forwards(self, images: int, time_steps: int) -> int:
        """ANN forwards that a fit for T costs, a time step counted as one; of so many calibration images."""
        return 2 * min(self.images, images) * time_steps

    def fit(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """Layers whose neurons have a bias in every step."""
        for layer in layers.values():
            if not layer.neuron.judged_by_membrane:
                raise RecipeError(
                    f"correction '{self.name}' follows neurons that fire step by step, as burst, signed and "
                    f"integrate-and-fire do; neuron '{layer.neuron.name}' does not"
                )
        assert calibration.time_steps is not None
        images = calibration.images(self.images)
        ann = calibration.ann(images)
        return SpikingPass(calibration.plan, layers, images, calibration.time_steps, self._settle, ann).fit()

    def _settle(self, arrival: Arrival) -> None:
        fit_temporal_bias(arrival, self.rounds, self.rate, self.samples)


def fit_temporal_bias(arrival: Arrival, rounds: int, rate: float, samples: int) -> None:
    """Give the arriving layer a bias for each channel and time step; see `TemporalBias`."""
    layer = arrival.layer
    sample = arrival.sample(samples, axis=1)

    def by_channel(values: Tensor | None) -> Tensor:
        given = sample.wanted.new_zeros(1) if values is None else values.flatten()
        return given.expand(1, len(sample.wanted))

    start = Starts(*map(by_channel, (layer.threshold, layer.initial, layer.offset)))
    backend = backend_for(sample.current)
    bias = backend.temporal_biases(layer.neuron, sample, start, rounds, rate)
    arrival.layer = replace(layer, neuron=TimedBias(layer.neuron, tuple(map(tuple, bias.tolist()))))
