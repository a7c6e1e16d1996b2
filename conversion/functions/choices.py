"""Comparisons and choices between signals, in floating point, so that they can be telescoped.

A comparison is 1 where it holds and 0 elsewhere. What is sent of it up to t is then t or 0, so its mean
says at every t whether the mean of what arrived fulfils it.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor

from conversion.functions.whole import whole

COMPARISONS = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}


@whole
def compared(one: Tensor | float, two: Tensor | float, how: str) -> Tensor:
    """1 where a comparison holds, else 0.

    Args:
        one: on its left side.
        two: on its right side.
        how: a key of `COMPARISONS`.
    """
    like = one if isinstance(one, Tensor) and one.is_floating_point() else two
    holds: Tensor = COMPARISONS[how](one, two)
    dtype = like.dtype if isinstance(like, Tensor) and like.is_floating_point() else torch.get_default_dtype()
    return holds.to(dtype)


@whole
def chosen(condition: Tensor, one: Tensor | float, two: Tensor | float) -> Tensor:
    """`one` where the mean of a comparison says that it holds, else `two`."""
    return torch.where(condition > 0.5, one, two)


@whole
def written(x: Tensor, index: object, value: Tensor | float) -> Tensor:
    """A copy of x in which x[index] is `value`."""
    dtype = torch.promote_types(x.dtype, value.dtype) if isinstance(value, Tensor) else x.dtype
    result = x.to(dtype, copy=True)
    result[index] = value  # type: ignore[index]
    return result
