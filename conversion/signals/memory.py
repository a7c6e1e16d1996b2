"""Where values over time lie in memory: as one time step of them does."""

from __future__ import annotations

import torch
from torch import Tensor


def room_for(values: Tensor, steps: int) -> Tensor:
    """An uninitialised [T, B, ...] for values like [T or 1, B, ...]; channels stay last where they are."""
    shape = (steps, *values.shape[1:])
    last = values.ndim == 5 and values[0].is_contiguous(memory_format=torch.channels_last)
    if not last or values[0].is_contiguous():
        return torch.empty(shape, dtype=values.dtype, device=values.device)
    rows = (shape[0] * shape[1], *shape[2:])
    room = torch.empty(rows, dtype=values.dtype, device=values.device, memory_format=torch.channels_last)
    timed: Tensor = room.unflatten(0, shape[:2])
    return timed


def flat(timed: Tensor) -> Tensor:
    """[T, B, ...] as [T * B, ...]; a single image gets strides that say where its channels are."""
    data = timed.flatten(0, 1)
    if data.ndim == 4 and len(data) == 1 and data.stride(0) < data.numel():
        data = data.as_strided(data.shape, (data.numel(), *data.stride()[1:]))
    return data


def sum_over_time(timed: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Sum of [T, B, ...] over time; where channels are last, in the order of memory, which is much faster."""
    if timed.ndim != 5 or not len(timed) or not timed[0].is_contiguous(memory_format=torch.channels_last):
        return timed.sum(0, dtype=dtype)
    total: Tensor = timed.permute(0, 1, 3, 4, 2).sum(0, dtype=dtype).permute(0, 3, 1, 2)
    return total


def sum_of_steps(timed: Tensor, steps: int) -> Tensor:
    """The same of T steps [T, B, ...]; [1, B, ...] stands for what does not change in them."""
    return timed[0] * steps if len(timed) == 1 else sum_over_time(timed)


def differ(timed: Tensor, before: Tensor) -> Tensor:
    """Each step of [T, B, ...] less the one before, which is `before` [B, ...] of the first; written over."""
    for step in range(len(timed) - 1, 0, -1):  # the last first: none is read after it was written
        timed[step] -= timed[step - 1]
    timed[0] -= before
    return timed
