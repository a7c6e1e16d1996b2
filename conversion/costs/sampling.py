"""What F.grid_sample weighs where its grid is constant, found by sampling single values."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from scipy import sparse
from torch import Tensor

_AT_ONCE = 2**22  # values of a probe
_ROUNDING = 1e-6  # of the largest weight


class Sampled:
    """Weighted sums over space, alike for all channels.

    Args:
        operation: runs it on maps [F, C, ...].
        like: any values of the right shape; the F frames of an image may be sampled at other places.
    """

    def __init__(self, operation: Callable[[Tensor], Tensor], like: Tensor) -> None:
        self._operation, self._like = operation, like

    @cached_property
    def copies(self) -> bool:
        """True where a value is part of several samples."""
        return any(bool((weights.count_nonzero(axis=0) > 1).any()) for weights in self._weights)

    @cached_property
    def merges(self) -> bool:
        """True where a sample lies between values."""
        return any(bool((weights.count_nonzero(axis=1) > 1).any()) for weights in self._weights)

    def mixed(self, factors: Tensor, origins: Tensor) -> bool:
        """Not looked for: a sample has its neighbours in it alone."""
        return False

    def count(self, counts: Tensor) -> Tensor:
        """Each spike once in every sample that it has a weight in."""
        shape = self._operation(self._like).shape
        found = []
        for frame, weights in zip(counts, self._weights, strict=True):
            touched = weights.tocoo()
            places = torch.stack([torch.from_numpy(touched.row), torch.from_numpy(touched.col)]).long()
            ones = torch.ones(places.shape[1], dtype=counts.dtype)
            matrix = torch.sparse_coo_tensor(places, ones, weights.shape, check_invariants=True).to(
                counts.device
            )
            found.append(torch.sparse.mm(matrix, frame.flatten(1).T).T)
        return torch.stack(found).view(shape)

    def matrix(self) -> Any:
        """The same weights for every channel of a frame."""
        channels = sparse.identity(self._like.shape[1], format="csr")
        frames = [sparse.kron(channels, weights, format="csr") for weights in self._weights]
        return sparse.csr_array(sparse.block_diag(frames, format="csr"))

    @cached_property
    def _weights(self) -> list[Any]:
        """For each frame, sparse [samples, values of a channel]."""
        like = self._like
        values = like.shape[2:].numel()
        at_once = max(1, _AT_ONCE // max(values * len(like), 1))
        parts: list[list[Any]] = [[] for _ in like]
        with torch.no_grad():
            for first in range(0, values, at_once):
                last = min(first + at_once, values)
                basis = torch.zeros(last - first, values, dtype=like.dtype, device=like.device)
                basis[torch.arange(last - first), torch.arange(first, last)] = 1
                probe = basis.view(1, last - first, *like.shape[2:]).expand(len(like), -1, *like.shape[2:])
                sampled = self._operation(probe).flatten(2)
                sampled = sampled.where(sampled.abs() > _ROUNDING * sampled.abs().max(), 0.0)
                for frame, weights in zip(parts, sampled, strict=True):
                    frame.append(sparse.csr_array(weights.T.cpu().numpy()))
        return [sparse.csr_array(sparse.hstack(frame)) for frame in parts]
