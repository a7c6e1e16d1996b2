"""Memory of signals that are gone, kept for the next ones of the same size.

A chunk of spikes is megabytes that live for one layer or two. If its memory went back to the system
each time, the next signal would get pages that have to be cleared and mapped, and that are in no cache.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

MOST_KEPT = 2**25  # bytes
_WORTH_KEEPING = 2**18  # bytes; smaller ones the C library keeps itself


class Buffers:
    """Hands out tensors, and takes their memory back when nothing refers to it any more, views included.

    Args:
        most_bytes: of memory kept for later; with 0, none is.
    """

    def __init__(self, most_bytes: int = MOST_KEPT) -> None:
        self._most = most_bytes
        self._kept = 0
        self._free: dict[int, list[Tensor]] = defaultdict(list)

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor, as torch.empty."""
        size = prod(shape) * dtype.itemsize
        if size < _WORTH_KEEPING or size > self._most:
            return torch.empty(*shape, dtype=dtype)
        free = self._free[size]
        if free:
            self._kept -= size
            memory = free.pop()
        else:
            memory = torch.empty(size, dtype=torch.uint8)
        lent: np.ndarray = memory.numpy().view()  # what is handed out holds this, not the memory itself
        weakref.finalize(lent, self._take_back, memory).atexit = False
        return torch.from_numpy(lent).view(dtype).view(*shape)

    def _take_back(self, memory: Tensor) -> None:
        if self._kept + memory.nbytes <= self._most:
            self._kept += memory.nbytes
            self._free[memory.nbytes].append(memory)
