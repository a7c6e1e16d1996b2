"""Neurons with a threshold for every power of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State, burst_into, fire
from conversion.neurons.rounding import Rounding
from conversion.parts import check, register, searched


@register
@dataclass(frozen=True)
class MultiThreshold(Neuron):
    """Multi-threshold neuron: every threshold that is reached fires in the same step, largest first.

    Thresholds are 1, 2, 4, ..., 2^(n - 1) smallest levels. Taking the largest that is reached, then the next,
    writes the membrane in binary: what is sent is what a burst neuron with gamma = 2^n - 1 sends,
    in at most n events instead of up to gamma spikes. The threshold of the layer is the smallest
    level; a spike says which power of two it stands for.

    Parameters:
        levels: n, number of thresholds.

    Source: "harmony multi-threshold" neuron, 2025/26, follow-up of Huang et al. 2025 (ICML), arXiv
    2503.00301; membranes start half a smallest level full.
    """

    name: ClassVar[str] = "multi-threshold"
    written_over: ClassVar[tuple[str, ...]] = ("v",)
    levels: int = searched(4, 1, 8)  # number of thresholds

    def __post_init__(self) -> None:
        check(1 <= self.levels <= 16, f"levels must be in [1, 16], got {self.levels}")

    @property
    def alphabet(self) -> Alphabet:
        """Powers of two."""
        return "graded" if self.levels > 1 else "binary"

    @property
    def max_per_step(self) -> int:
        """All thresholds at once, 2^n - 1."""
        return (1 << self.levels) - 1

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """v += x; s = clamp(floor(v), 0, 2^n - 1); v -= s."""
        v = state["v"] + current
        spikes = fire(v, self.max_per_step)
        return spikes, {"v": v - spikes}

    def step_into(self, current: Tensor, state: State, spikes: Tensor) -> None:
        """The step, in place."""
        burst_into(current, state, spikes, self.max_per_step)

    def events(self, spikes: Tensor) -> Tensor:
        """One event a threshold that fired: the number of ones in binary."""
        return ones_in(spikes, self.levels)

    @property
    def both_signs(self) -> Neuron:
        """A positive and a negative one."""
        return MirroredMultiThreshold(self.levels)


@register
@dataclass(frozen=True)
class MirroredMultiThreshold(Rounding):
    """Two multi-threshold neurons, one with negative spikes: what `MultiThreshold` becomes for both signs.

    The pair shares its charge: what one sends is taken off both, with its sign. So together they send
    s = clip(floor(v), 1 - 2^n, 2^n - 1) of their membrane, one of them at a time, and conserve charge.

    Parameters:
        levels: n, number of thresholds of each of the two.

    Source: "harmony multi-threshold" neuron, 2025/26, follow-up of Huang et al. 2025 (ICML), arXiv
    2503.00301, which pairs neurons with a mirrored copy where an activation has both signs.
    """

    name: ClassVar[str] = "mirrored-multi-threshold"
    levels: int = searched(4, 1, 8)  # number of thresholds

    def __post_init__(self) -> None:
        check(1 <= self.levels <= 16, f"levels must be in [1, 16], got {self.levels}")

    @property
    def alphabet(self) -> Alphabet:
        """Powers of two, from the one or from the other."""
        return "graded" if self.levels > 1 else "signed"

    @property
    def max_per_step(self) -> int:
        """All thresholds at once, 2^n - 1."""
        return (1 << self.levels) - 1

    def events(self, spikes: Tensor) -> Tensor:
        """One event a threshold that fired: the number of ones in binary."""
        return ones_in(spikes, self.levels)


def ones_in(spikes: Tensor, levels: int) -> Tensor:
    """Number of ones of |spikes| in binary; whole numbers of at most `levels` digits."""
    ones = torch.zeros(1, dtype=spikes.dtype, device=spikes.device)  # of 0, 1, 2, ...
    for _ in range(levels):
        ones = torch.cat([ones, ones + 1])
    return ones.index_select(0, spikes.abs().int().flatten()).view_as(spikes)
