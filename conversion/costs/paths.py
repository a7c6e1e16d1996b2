"""Which values a spike reaches, exactly: a sparse matrix for each piece of the way.

Counting spikes along the way counts paths. Where a spike is copied and its copies meet again, as in two
averages in a row, it takes several paths to one value and is one operation there all the same; or the
paths cancel and it is none. Only then are these matrices made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from torch import Tensor

_CANCELLED = 1e-9  # of the sum of absolute values

Matrix = Any  # scipy.sparse.csr_array [values after, values before]


class Paths:
    """What a value of the graph is made of.

    Args:
        parents: values that it is computed from, and how: a function that makes a matrix.
        source: name of the layer that sends spikes, if this is what it sends.
        size: number of its neurons.
    """

    def __init__(
        self,
        parents: Sequence[tuple[Paths, Callable[[], Matrix]]] = (),
        source: str | None = None,
        size: int = 0,
    ) -> None:
        self._parents, self._source, self._size = parents, source, size
        self._found: dict[str, Matrix | None] = {}

    def of(self, source: str) -> Matrix | None:
        """What a spike of each neuron of a layer makes of each value [values, neurons]; None for nothing."""
        if source not in self._found:
            self._found[source] = self._made(source)
        return self._found[source]

    def _made(self, source: str) -> Matrix | None:
        if source == self._source:
            return sparse.identity(self._size, format="csr")
        total: Matrix | None = None
        for parent, step in self._parents:
            before = parent.of(source)
            if before is not None:
                part = _product(step(), before)
                total = part if total is None else _sum(total, part)
        return total

    def reached(self, source: str, operations: Tensor) -> np.ndarray:
        """Operations that a spike of each neuron causes, from the operations of each value that it reaches.

        Args:
            source: the layer.
            operations: at each value.
        """
        found = self.of(source)
        if found is None:
            return np.zeros(0)
        touched = found.copy()
        touched.data = np.ones_like(touched.data)
        result: np.ndarray = touched.T @ operations.detach().double().cpu().numpy().ravel()
        return result


def selection(chosen: Tensor, size: int, factors: Tensor | None = None) -> Matrix:
    """Values that are each one of `size` others, or none of them.

    Args:
        chosen: index of the other value, or -1; any shape.
        size: number of the others.
        factors: what the other is multiplied with, of the same shape.
    """
    columns = chosen.cpu().numpy().ravel()
    rows = np.arange(columns.size)
    weights = np.ones(columns.size) if factors is None else factors.double().cpu().numpy().ravel()
    used = (columns >= 0) & (weights != 0)
    return sparse.csr_array(
        (weights[used], (rows[used], columns[used])), shape=(columns.size, size), dtype=np.float64
    )


def _product(after: Matrix, before: Matrix) -> Matrix:
    result = after @ before
    if (after.data < 0).any() or (before.data < 0).any():
        return _without_cancelled(result, abs(after) @ abs(before))
    return result


def _sum(one: Matrix, two: Matrix) -> Matrix:
    return _without_cancelled(one + two, abs(one) + abs(two))


def _without_cancelled(result: Matrix, size: Matrix) -> Matrix:
    """Drop what is 0 but for rounding; `size` is the same sum of absolute values."""
    kept = abs(result) - _CANCELLED * size
    kept.data = (kept.data > 0).astype(np.float64)
    found = result.multiply(kept).tocsr()
    found.eliminate_zeros()
    return found
