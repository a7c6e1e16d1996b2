"""Neurons that send spikes of both signs, whatever they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State
from conversion.neurons.rounding import Rounding
from conversion.parts import check, register, searched


@register
@dataclass(frozen=True)
class Tracking(Rounding):
    """Tracking neuron: its output follows any function of its mean input.

    It receives the increments of t F(mean input so far), for the activation F of its layer, ReLU or any
    other (see `conversion.functions.telescope`). In each step

        v += x;  s = clip(floor(v), -gamma, gamma);  v -= s

    With the initial potential 1/2, floor rounds: after every step t that did not clip, what was sent is
    t F(mean input) to within half a threshold, so the mean output is F of the mean input to within
    threshold / (2 t), and no error of timing is left.

    Parameters:
        gamma: most spikes of either sign in one step.

    Source: this project; algebraically the compensation of Huang et al. 2025, arXiv 2502.21193, followed
    by a neuron that rounds.
    """

    name: ClassVar[str] = "tracking"
    gamma: int = searched(4, 1, 15)

    def __post_init__(self) -> None:
        check(self.gamma >= 1, f"gamma must be at least 1, got {self.gamma}")

    @property
    def alphabet(self) -> Alphabet:
        """Spikes with a sign."""
        return "signed"

    @property
    def max_per_step(self) -> int:
        """Gamma."""
        return self.gamma


@register
@dataclass(frozen=True)
class SignedMultiThreshold(Neuron):
    """Signed multi-threshold neuron: one event a step, a power of two with a sign.

    It receives the increments of t F(mean input so far), as `Tracking` does. Levels are 1, 2, 4, ...,
    2^(n - 1) smallest levels; of those with |v| >= level - 1/2 the largest is sent, with the sign of v.
    The threshold of the layer is the smallest level.

    Parameters:
        levels: n, number of levels.

    Source: Huang et al. 2025, arXiv 2502.21193, and the authors' code.
    """

    name: ClassVar[str] = "signed-multi-threshold"
    rectifies: ClassVar[bool] = False
    leaky: ClassVar[bool] = True
    levels: int = searched(4, 1, 8)

    def __post_init__(self) -> None:
        check(1 <= self.levels <= 16, f"levels must be in [1, 16], got {self.levels}")

    @property
    def alphabet(self) -> Alphabet:
        """Powers of two with a sign."""
        return "graded" if self.levels > 1 else "signed"

    @property
    def max_per_step(self) -> int:
        """The largest level, 2^(n - 1)."""
        return 1 << (self.levels - 1)

    @property
    def least_per_step(self) -> int:
        """As much below zero."""
        return -self.max_per_step

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """v += x; send the largest level that |v| has reached, less half the smallest; v -= s."""
        v = state["v"] + current
        size = torch.zeros_like(v)
        for level in range(self.levels):
            size = torch.where(v.abs() >= 2**level - 0.5, 2.0**level, size)
        spikes = size * v.sign()
        return spikes, {"v": v - spikes}

    def events(self, spikes: Tensor) -> Tensor:
        """One event, whichever level it stands for."""
        return (spikes != 0).to(spikes.dtype)
