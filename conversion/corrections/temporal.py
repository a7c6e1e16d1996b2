"""A bias for each channel and time step, found by forward passes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from conversion.corrections.base import Correction
from conversion.corrections.layerwise import channel_means
from conversion.errors import RecipeError
from conversion.fitting.facts import Calibration
from conversion.fitting.spiking_pass import Arrival, SpikingPass
from conversion.neurons import TimedBias
from conversion.parts import check, register, searched
from conversion.plan.layer import SpikingLayer


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

    Source: Wu et al. 2024 (ECCV), arXiv 2403.18388 (FTBC), and the authors' code: three batches of 200
    images, rate 0.4, and while a layer is fitted each neuron's membrane is corrected by its own error,
    where here it gets the bias that it will have.
    """

    name: ClassVar[str] = "temporal-bias"
    runs_spikes: ClassVar[bool] = True
    rate: float = searched(0.4, 0.05, 1.0, log=True)
    rounds: int = searched(3, 1, 8)
    images: int = 128

    def __post_init__(self) -> None:
        check(0 < self.rate <= 1, f"rate must be in (0, 1], got {self.rate}")
        for field in ("rounds", "images"):
            check(getattr(self, field) >= 1, f"{field} must be at least 1, got {getattr(self, field)}")

    @property
    def needs_time_steps(self) -> bool:
        """True: there is a bias for each of T steps."""
        return True

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
        return SpikingPass(calibration.plan, layers, images, calibration.time_steps, self._settle).fit()

    def _settle(self, arrival: Arrival) -> None:
        fit_temporal_bias(arrival, self.rounds, self.rate)


def fit_temporal_bias(arrival: Arrival, rounds: int, rate: float) -> None:
    """Give the arriving layer a bias for each channel and time step; see `TemporalBias`."""
    layer, steps, current = arrival.layer, arrival.steps, arrival.current
    if layer.offset is not None:
        current = current + layer.offset
    driven = current / layer.threshold
    wanted = channel_means(arrival.activation / layer.threshold)
    bias = driven.new_zeros(steps, *wanted.shape)
    for _ in range(rounds):
        state = layer.start(driven[0])
        for t in range(steps):
            now = driven[t if len(driven) > 1 else 0]
            spikes, _ = layer.neuron.step(now + bias[t], state)
            bias[t] += rate * (wanted - channel_means(spikes))
            _, state = layer.neuron.step(now + bias[t], state)
    table = tuple(tuple(step.flatten().tolist()) for step in bias)
    arrival.layer = replace(layer, neuron=TimedBias(layer.neuron, table))
