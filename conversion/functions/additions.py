"""Sums of values at places that constants say, as one operation of one signal."""

from __future__ import annotations

from torch import Tensor

from conversion.functions.whole import whole


@whole
def added_at(x: Tensor, axis: int, index: Tensor, size: int) -> Tensor:
    """Zeros with `size` entries along an axis, to which those of x are added.

    Args:
        x: of any shape.
        axis: along which they move.
        index: where each entry of x goes, int64 [n].
        size: number of places.
    """
    shape = list(x.shape)
    shape[axis] = size
    return x.new_zeros(shape).index_add(axis, index, x)


@whole
def scattered(x: Tensor, axis: int, index: Tensor, size: int) -> Tensor:
    """As `added_at`, with a place along the axis for each value.

    Args:
        x: of any shape.
        axis: along which values move.
        index: where each goes, int64, as large as x.
        size: number of places.
    """
    shape = list(x.shape)
    shape[axis] = size
    return x.new_zeros(shape).scatter_add(axis, index, x)
