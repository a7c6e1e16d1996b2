"""Memory that signals leave behind, for the next ones of the same size.

A chunk of spikes is megabytes that live for one layer or two. Given back to the system and asked for again,
its pages would be cleared and mapped anew each time, and be in no cache.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

_LINE = 64  # bytes of a cache line, where memory begins
_WORTH_KEEPING = 2**18  # bytes; smaller ones the C library keeps itself


class Buffers:
    """Hands out tensors, and takes their memory back when nothing refers to it any more, views included.

    Args:
        most_bytes: of memory kept for later.
    """

    def __init__(self, most_bytes: int = 2**25) -> None:
        self._most = most_bytes
        self._kept = 0
        self._free: dict[int, list[np.ndarray]] = defaultdict(list)

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor, as torch.empty."""
        size = prod(shape) * dtype.itemsize
        if size < _WORTH_KEEPING:
            return torch.empty(*shape, dtype=dtype)
        free = self._free[size]
        if free:
            self._kept -= size
            memory = free.pop()
        else:
            memory = np.empty(size + _LINE, dtype=np.uint8)
            memory = memory[-memory.ctypes.data % _LINE :][:size]
        lent = memory.view()  # the tensor holds this one
        weakref.finalize(lent, self._take_back, memory).atexit = False
        return torch.from_numpy(lent).view(dtype).view(*shape)

    def _take_back(self, memory: np.ndarray) -> None:
        if self._kept + memory.nbytes <= self._most:
            self._kept += memory.nbytes
            self._free[memory.nbytes].append(memory)


empty = Buffers().empty
