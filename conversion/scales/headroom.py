"""Thresholds that leave room for catching up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from conversion.fitting.facts import LayerFacts
from conversion.parts import check, register, searched
from conversion.scales.base import Scale


@register
@dataclass(frozen=True)
class Headroom(Scale):
    """`full-range` with room: one step can say more than the largest activation.

    A neuron that sends few spikes a step falls behind wherever its input so far was a poor estimate: the
    largest activation takes all it can send. With room, a step makes up for the steps before as well; in
    return, levels are further apart.

    Parameters:
        room: range of a step over the quantile.
        p: share of the activations below the quantile, by magnitude.
        per_channel: one threshold for each channel, or one for the layer.
    """

    name: ClassVar[str] = "headroom"
    room: float = searched(1.3, 1.0, 2.0)
    p: float = 1.0
    per_channel: bool = True

    def __post_init__(self) -> None:
        check(self.room >= 1, f"room must be at least 1, got {self.room}; for less, take full-range with p")
        check(0 < self.p <= 1, f"p is a share in (0, 1], got {self.p}")

    @property
    def beyond(self) -> float:
        """The room."""
        return self.room

    def clips(self, most: int) -> str:
        """What is above the quantile and its room."""
        return f"clips activations above {self.room:g} times their quantile {self.p:g}" if self.p < 1 else ""

    def thresholds(self, layer: LayerFacts) -> Tensor:
        """Quantile times room over the neuron's largest value in a step, for the layer or each channel."""
        quantile = layer.statistics.quantile(self.p, self.per_channel)
        return quantile * (self.room / layer.neuron.max_per_step)
