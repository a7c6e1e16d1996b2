"""Thresholds that suit the levels of a few steps, whatever number of steps is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from conversion.fitting.facts import LayerFacts
from conversion.parts import check, register, searched
from conversion.scales.base import Scale
from conversion.scales.least_squares import best_range


@register
@dataclass(frozen=True)
class NearestLevels(Scale):
    """Threshold with the least squared error of what the neuron can say in one step, or in a few.

    The rule of `least-squares` for a fixed number of steps, so that T need not be known: q(a) =
    (θ / n) clip(round(n a / θ), 0, γ n) has the least mean of (a - q(a))² over the calibration images; from
    -γ n where activations have both signs. It is the rule of the quantised ANN with γ n levels.

    Parameters:
        steps: n. More steps have more levels, so that less is clipped.
        per_channel: one threshold for each channel, or one for the layer.
        candidates: size of the grid that is searched; see `least-squares`.
    """

    name: ClassVar[str] = "nearest-levels"
    steps: int = searched(1, 1, 32, log=True)
    per_channel: bool = True
    candidates: int = 100

    def __post_init__(self) -> None:
        check(self.steps >= 1, f"steps must be at least 1, got {self.steps}")
        check(self.candidates >= 1, f"candidates must be at least 1, got {self.candidates}")

    def clips(self, most: int) -> str:
        """The range is best for a number of levels, whatever T."""
        steps = "one step" if self.steps == 1 else f"{self.steps} steps"
        return f"clips activations above the range that is best for the levels of {steps}"

    def thresholds(self, layer: LayerFacts) -> Tensor:
        """Thresholds [C], or [1] for the layer; 0 for a silent channel."""
        levels = layer.neuron.levels_in(self.steps)
        tops = best_range(layer.statistics, levels, 0.5, self.candidates, self.per_channel, refine=True)
        return tops / layer.neuron.max_per_step
