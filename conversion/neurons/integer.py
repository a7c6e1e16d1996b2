"""Neurons that send whole numbers, each as a run of binary spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State
from conversion.parts import check, register, searched


@register
@dataclass(frozen=True)
class Integer(Neuron):
    """Integer leaky integrate-and-fire neuron: trained with whole numbers, run with binary spikes.

    v <- decay v + x; s = clamp(floor(v + 1/2), 0, most); v <- v - s. A value s is sent as s binary
    spikes within `most` time steps of their own, which comes to the same, because everything up to the
    next neuron is affine: one step of this neuron stands for `most` time steps. Rounding is to the
    nearest, halves up, so membranes start empty. Charge is conserved at decay 1.

    Parameters:
        most: D, largest number in one step.
        decay: share of the membrane that is left after a step. 1 by default, because a leak loses
            charge that conversion relies on; for a network that was trained with another, give that.

    Source: Luo et al. 2024 (ECCV), arXiv 2407.20708 (SpikeYOLO, I-LIF; D = 4, T = 1). The normalised
    form, which sends s / D, differs by the threshold of the layer only.
    """

    name: ClassVar[str] = "integer"
    most: int = searched(4, 1, 16)  # largest number in one step
    decay: float = 1.0

    def __post_init__(self) -> None:
        check(self.most >= 1, f"most must be at least 1, got {self.most}")
        check(0 <= self.decay <= 1, f"decay must be in [0, 1], got {self.decay}")

    @property
    def alphabet(self) -> Alphabet:
        """Binary: a number is a run of spikes."""
        return "binary"

    @property
    def max_per_step(self) -> int:
        """The largest number."""
        return self.most

    @property
    def steps_per_t(self) -> int:
        """Binary steps of one number."""
        return self.most

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """clip(floor(charge + initial + 1/2), 0, most T); exact at decay 1."""
        return super().constant(charge, initial + 0.5, time_steps)

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """One number."""
        v = state["v"] * self.decay + current
        spikes = (v + 0.5).floor().clamp_(0, self.most)
        return spikes, {"v": v - spikes}
