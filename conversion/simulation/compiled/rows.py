"""Neurons of any shape as rows: which axis is which does not matter where nothing adds up weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.signals.signals import Signal, Spikes, Told
from conversion.simulation.compiled.layers import Summand, channels_last, filled


@dataclass(frozen=True)
class Rows:
    """How values [N, ...] become rows [N, F]: in the order in which memory has them, without a copy.

    Attributes:
        shape: of one value, without its first axis.
        order: axes of `shape`, the outermost in memory first.
    """

    shape: torch.Size
    order: tuple[int, ...]

    @classmethod
    def of(cls, value: Tensor) -> Rows:
        """Those of values [N, ...] like this one."""
        strides = value.stride()[1:]
        return cls(value.shape[1:], tuple(sorted(range(len(strides)), key=lambda axis: -strides[axis])))

    def __call__(self, value: Tensor) -> Tensor:
        """[N, ...] as [N, F]."""
        ordered = value.permute(0, *(axis + 1 for axis in self.order))
        rows: Tensor = ordered.reshape(len(value), self.shape.numel())
        return rows

    def back(self, rows: Tensor) -> Tensor:
        """[N, F] as [N, ...]."""
        if not self.order:
            return rows[:, 0]
        apart: Tensor = rows.unflatten(1, [self.shape[axis] for axis in self.order])
        return apart.permute(0, *(1 + self.order.index(axis) for axis in range(len(self.order))))

    def spread(self, values: Tensor) -> Tensor:
        """Numbers [1, ...] that are broadcast to values, as [1, F], or [1, 1] where all are the same."""
        return values.view(1, 1) if values.numel() == 1 else self(values.expand(1, *self.shape))

    def signal(self, value: Signal) -> Signal:
        """A signal as rows; spikes stay spikes."""
        if type(value) is Spikes:
            return Spikes(self(value.counts), value.steps, self.spread(value.spike_value), value.signed)
        data = value.said if isinstance(value, Told) else value.data
        return Signal(self(data), value.steps)

    def state(self, name: str, state: Tensor) -> Tensor:
        """A state of neurons [B, ...] as the kernel has it, [B, 1, 1, F]."""
        rows = self(state)
        return channels_last(rows, filled(rows.shape[1])).clone()


def inflow(value: Signal, threshold: Tensor) -> Summand:
    """A value of rows [T * B, F] in thresholds [1, F] or [1, 1]."""
    width = value.shape[1]
    scale = (1.0 / threshold.flatten()).expand(width)
    if isinstance(value, Spikes):
        scale = scale * value.spike_value.flatten().expand(width)
    return Summand(value, scale.contiguous())


def carried(value: Signal) -> Tensor:
    """What holds a signal in memory."""
    if type(value) is Spikes:
        return value.counts
    return value.said if isinstance(value, Told) else value.data
