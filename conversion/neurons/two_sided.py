"""Signed neurons for values of both signs: positive and negative spikes by the membrane alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State, fire, fire_into
from conversion.parts import check, register, searched


@register
@dataclass(frozen=True)
class TwoSided(Neuron):
    """Signed neuron whose output may be negative on average: what `Signed` becomes behind a signed function.

    In each step

        v += x;  s = clip(floor(v), 0, gamma), or -n where the membrane is at or below `lower`;  v -= s

    with n the fewest negative spikes that lift the membrane above `lower`, gamma at most. While nothing
    clips, the membrane stays between `lower` and 1, so what was sent is what arrived to within one threshold.

    Parameters:
        gamma: most spikes of either sign in one step.
        lower: membrane potential, in thresholds, at or below which negative spikes are sent. At 0 it means
            strictly below.

    Source: the signed neuron of Wang Y. et al. 2022 (IJCAI, 2501-2508) without the memory that keeps its
    output from falling below zero, which is right for a ReLU alone.
    """

    name: ClassVar[str] = "two-sided"
    written_over: ClassVar[tuple[str, ...]] = ("v",)
    rectifies: ClassVar[bool] = False
    leaky: ClassVar[bool] = True
    gamma: int = searched(1, 1, 8)  # most spikes of either sign in one step
    lower: float = searched(0.0, -1.0, 0.0)  # membrane at which negative spikes are sent

    def __post_init__(self) -> None:
        check(self.gamma >= 1, f"gamma must be at least 1, got {self.gamma}")
        check(-1 <= self.lower <= 0, f"lower must be in [-1, 0], got {self.lower}")

    @property
    def alphabet(self) -> Alphabet:
        """Spikes with a sign."""
        return "signed"

    @property
    def max_per_step(self) -> int:
        """Gamma."""
        return self.gamma

    @property
    def least_per_step(self) -> int:
        """As many below zero."""
        return -self.gamma

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """What a membrane of charge + initial sends, gamma T of either sign at most."""
        total, most = charge + initial, self.gamma * time_steps
        return total.floor().clamp(0, most) - owed(total, self.lower, most)

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """One step as above."""
        v = state["v"] + current
        spikes = fire(v, self.gamma) - owed(v, self.lower, self.gamma)
        return spikes, {"v": v - spikes}

    def step_into(self, current: Tensor, state: State, spikes: Tensor) -> None:
        """The step, in place."""
        v = state["v"]
        v += current
        back = owed_into(v, self.lower, self.gamma, torch.empty_like(v))
        fire_into(v, self.gamma, spikes)
        spikes -= back
        v -= spikes


def owed(v: Tensor, lower: float, most: int) -> Tensor:
    """Negative spikes of a membrane: the fewest that lift it above `lower`, `most` at most.

    At a `lower` of 0 a membrane of exactly 0 needs none.
    """
    count = (-v).ceil() if lower == 0 else (lower - v).floor() + 1
    return count.clamp_(0, most)


def owed_into(v: Tensor, lower: float, most: int, room: Tensor) -> Tensor:
    """The same, written into `room`."""
    if most == 1:  # one spike as soon as any is owed
        return (torch.lt if lower == 0 else torch.le)(v, lower, out=room)
    if lower == 0:
        return torch.neg(v, out=room).ceil_().clamp_(0, most)
    return torch.sub(lower, v, out=room).floor_().add_(1).clamp_(0, most)
