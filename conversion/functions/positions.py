"""Where values stand along an axis, as numbers in floating point, and what is taken from there.

A place is a function of the mean so far, like any other. As increments of t times a whole number it is exact,
so whoever reads it rounds what arrived and finds the place again.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.functions.whole import whole


@whole
def place_of_largest(x: Tensor, dim: int, keepdim: bool) -> Tensor:
    """Where the largest value along an axis is."""
    return x.argmax(dim, keepdim).to(x.dtype)


@whole
def place_of_smallest(x: Tensor, dim: int, keepdim: bool) -> Tensor:
    """Where the smallest value along an axis is."""
    return x.argmin(dim, keepdim).to(x.dtype)


@whole
def places_in_order(x: Tensor, dim: int, descending: bool) -> Tensor:
    """Where the values along an axis are, in their order."""
    return torch.sort(x, dim=dim, descending=descending, stable=True)[1].to(x.dtype)


@whole
def places_of_most(x: Tensor, k: int, dim: int, largest: bool) -> Tensor:
    """Where the k largest values along an axis are, or the smallest."""
    return torch.topk(x, k, dim, largest)[1].to(x.dtype)


@whole
def quotient(place: Tensor, number: int) -> Tensor:
    """Place // number, as of a pixel its row."""
    return torch.floor(place.round() / number)


@whole
def rest(place: Tensor, number: int) -> Tensor:
    """Place % number, as of a pixel its column."""
    return torch.remainder(place.round(), number)


@whole
def taken(x: Tensor, dim: int, place: Tensor) -> Tensor:
    """`x.gather(dim, place)`."""
    return x.gather(dim, _whole(place))


@whole
def taken_along(x: Tensor, place: Tensor, dim: int) -> Tensor:
    """`torch.take_along_dim(x, place, dim)`."""
    return torch.take_along_dim(x, _whole(place), dim)


@whole
def rows_taken(x: Tensor, place: Tensor) -> Tensor:
    """Of each image [N, ...] its entries at some places [B, k] or at one [B]."""
    images = torch.arange(len(x), device=x.device).view(-1, *[1] * (place.ndim - 1))
    return x[images, _whole(place)]


@whole
def looked_up(place: Tensor, table: Tensor) -> Tensor:
    """Rows of a constant table."""
    return table[_whole(place)]


@whole
def as_one_hot(place: Tensor, number: int) -> Tensor:
    """1 at a place, 0 at all others, along a new last axis."""
    return F.one_hot(_whole(place), number).to(place.dtype)


@whole
def put(x: Tensor, dim: int, place: Tensor, value: Tensor | float) -> Tensor:
    """`x.scatter(dim, place, value)`."""
    return torch.scatter(x, dim, _whole(place), value)


def _whole(place: Tensor) -> Tensor:
    return place.round().long()


FUNCTIONS = (
    *(place_of_largest, place_of_smallest, places_in_order, places_of_most, quotient, rest),
    *(taken, taken_along, rows_taken, looked_up, as_one_hot, put),
)
