"""A fitted layer of spiking neurons: everything that conversion decided about it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.neurons import Neuron


@dataclass(frozen=True)
class SpikingLayer:
    """One layer of neurons; tensors are broadcastable to its activations [B, C, ...]."""

    neuron: Neuron
    threshold: Tensor  # value of one spike, in units of the activation
    initial: Tensor  # membrane potential before the first step, in thresholds
    offset: Tensor | None = None  # constant current of every step, in units of the activation

    def membrane(self, current: Tensor) -> Tensor:
        """Initial membrane potential in the shape of one step of the current, [B, C, ...]."""
        return self.initial.to(current.dtype).expand_as(current).clone()

    @property
    def uniform_initial(self) -> float | None:
        """The initial potential where it is the same for every neuron, else None."""
        return float(self.initial) if self.initial.numel() == 1 else None


def per_channel(values: Tensor | float, ndim: int) -> Tensor:
    """Values [C], [1] or a number as [1, C, 1, ...], broadcastable to activations of `ndim` axes."""
    return torch.as_tensor(values).float().reshape(1, -1, *[1] * (ndim - 2))
