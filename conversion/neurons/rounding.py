"""What neurons share that send their membrane rounded down, in both directions alike."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Neuron, State


class Rounding(Neuron):
    """v += x;  s = clip(floor(v), -m, m);  v -= s, with m the most spikes of a step."""

    rectifies: ClassVar[bool] = False
    leaky: ClassVar[bool] = True
    written_over: ClassVar[tuple[str, ...]] = ("v",)

    @property
    def least_per_step(self) -> int:
        """As many below zero as above."""
        return -self.max_per_step

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """clip(floor(charge + initial), -m T, m T)."""
        most = self.max_per_step * time_steps
        return (charge + initial).floor().clamp(-most, most)

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """One step as above."""
        v = state["v"] + current
        spikes = v.floor().clamp_(-self.max_per_step, self.max_per_step)
        return spikes, {"v": v - spikes}

    def step_into(self, current: Tensor, state: State, spikes: Tensor) -> None:
        """The step, in place."""
        v = state["v"]
        v += current
        torch.floor(v, out=spikes).clamp_(-self.max_per_step, self.max_per_step)
        v -= spikes
