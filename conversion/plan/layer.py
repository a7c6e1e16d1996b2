"""A fitted layer of spiking neurons: everything that conversion decided about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.neurons import Neuron, State


@dataclass(frozen=True)
class SpikingLayer:
    """One layer of neurons; tensors are broadcastable to its activations [B, C, ...]."""

    neuron: Neuron
    threshold: Tensor  # value of one spike, in units of the activation
    initial: Tensor  # membrane potential before the first step, in thresholds
    offset: Tensor | None = None  # constant current of every step, in units of the activation
    ceiling: float | None = None  # upper bound of the activation

    @property
    def capped(self) -> bool:
        """True where the neurons themselves must keep below the ceiling; thresholds do it for the others."""
        return self.ceiling is not None and not self.neuron.bounded

    @property
    def highest_threshold(self) -> float:
        """The threshold whose largest bursts, one every step, are the ceiling; a higher one exceeds it."""
        return math.inf if self.ceiling is None else self.ceiling / self.neuron.max_per_step

    @property
    def largest(self) -> Tensor:
        """Largest mean activation that is sent, broadcastable to [B, C, ...]; larger ones are clipped."""
        if self.neuron.bounded:
            return self.threshold * self.neuron.max_per_step
        return torch.full_like(self.threshold, torch.inf if self.ceiling is None else self.ceiling)

    def start(self, current: Tensor) -> State:
        """State of the neurons before the first step, for currents [B, C, ...]."""
        state = self.neuron.start(self.membrane(current))
        if not self.capped:
            return state
        most = (self.largest / self.threshold).to(current.dtype).expand_as(current)
        return self.neuron.capped(state, most)

    def membrane(self, current: Tensor) -> Tensor:
        """Initial membrane potential in the shape of one step of the current, [B, C, ...]."""
        return torch.empty_like(current).copy_(self.initial)  # in memory as the current is


def per_channel(values: Tensor | float, ndim: int, axis: int = 1) -> Tensor:
    """Values [C], [1] or a number, broadcastable to activations of `ndim` axes with channels along one.

    Returns:
        [1, C, 1, ...], or [1, 1, ..., C] where the axis is -1.
    """
    after = ndim - 2 if axis == 1 else 0
    return torch.as_tensor(values).float().reshape(*[1] * (ndim - 1 - after), -1, *[1] * after)
