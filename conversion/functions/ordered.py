"""Values by their order along an axis, without the places that torch's own functions give beside them."""

from __future__ import annotations

import torch
from torch import Tensor


def running_maximum(input: Tensor, dim: int) -> Tensor:
    """The largest value up to each place."""
    return torch.cummax(input, dim)[0]


def running_minimum(input: Tensor, dim: int) -> Tensor:
    """The smallest value up to each place."""
    return torch.cummin(input, dim)[0]


def sorted_values(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Tensor:
    """All values in their order."""
    return torch.sort(input, dim=dim, descending=descending, stable=stable)[0]


def largest_values(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Tensor:
    """The k largest values, or the smallest."""
    return torch.topk(input, k, dim, largest, True)[0]


def value_at(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Tensor:
    """The k-th smallest value."""
    return torch.kthvalue(input, k, dim, keepdim)[0]


def middle_value(input: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """The median; the lower one of two."""
    return torch.median(input, dim, keepdim)[0]
