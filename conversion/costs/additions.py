"""Operations that add values as they are: running sums, and sums at the places where values are put."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from conversion.costs.paths import selection


class RunningSum:
    """Sums of all values up to each place along an axis: the value at place i of n is in n - i of them.

    Args:
        shape: of the input.
        axis: along which it runs.
    """

    merges = True

    def __init__(self, shape: torch.Size, axis: int) -> None:
        self._shape, self._axis = shape, axis % max(len(shape), 1)

    @property
    def copies(self) -> bool:
        """True where a value is in several sums."""
        return self._shape[self._axis] > 1

    def mixed(self, factors: Tensor, origins: Tensor) -> bool:
        """True where a sum has multiples of different values by different factors in it."""
        return differ_in_sums(factors, origins, [self._axis])

    def count(self, counts: Tensor) -> Tensor:
        """Each spike once in every sum from its place on."""
        return counts.cumsum(self._axis)

    def matrix(self) -> Any:
        """A triangle of ones along the axis."""
        n = self._shape[self._axis]
        before, after = math.prod(self._shape[: self._axis]), math.prod(self._shape[self._axis + 1 :])
        triangle = sparse.csr_array(np.tril(np.ones((n, n))))
        inner = sparse.kron(triangle, sparse.identity(after), format="csr")
        return sparse.csr_array(sparse.kron(sparse.identity(before), inner, format="csr"))


class Placed:
    """Values that are each put at one place, or at none, and added there, as by F.fold.

    Args:
        operation: runs it; linear.
        like: any values of the right shape.
    """

    copies = False

    def __init__(self, operation: Callable[[Tensor], Tensor], like: Tensor) -> None:
        self._operation, self._like = operation, like

    @property
    def merges(self) -> bool:
        """True where several values meet at a place."""
        used = self._places[self._places >= 0]
        return bool(used.unique().numel() < used.numel())

    def mixed(self, factors: Tensor, origins: Tensor) -> bool:
        """True where a sum has multiples of different values by different factors in it."""
        places = self._places
        used = (places >= 0) & (factors.flatten() != 0)
        differing = [_differ(values.flatten()[used], places[used]) for values in (factors, origins)]
        return bool((differing[0] & differing[1]).any())

    def count(self, counts: Tensor) -> Tensor:
        """The same operation on counts."""
        return self._operation(counts)

    def matrix(self) -> Any:
        """One entry for each input that has a place."""
        size = self._operation(self._like).numel()
        return sparse.csr_array(selection(self._places, size).T)

    @cached_property
    def _places(self) -> Tensor:
        """Number of each value's place; -1 for none."""
        values = torch.zeros_like(self._like, dtype=torch.float64).requires_grad_()
        with torch.enable_grad():
            placed = self._operation(values)
        numbers = torch.arange(1.0, placed.numel() + 1, dtype=torch.float64, device=placed.device)
        (found,) = torch.autograd.grad(placed, values, numbers.view(placed.shape))
        return found.flatten().long() - 1


def differ_in_sums(factors: Tensor, origins: Tensor, axes: list[int]) -> bool:
    """True where multiples of different values by different factors are added along axes.

    Args:
        factors: of each value.
        origins: number of what it is a multiple of.
        axes: none of them, if nothing is added.
    """
    if not axes:
        return False
    none = factors == 0

    def differ(values: Tensor) -> Tensor:
        largest = values.masked_fill(none, -torch.inf).amax(axes)
        return largest > values.masked_fill(none, torch.inf).amin(axes)

    return bool((differ(factors) & differ(origins)).any())


def _differ(values: Tensor, places: Tensor) -> Tensor:
    """Whether the values at each place are not all the same."""
    size = int(places.max()) + 1 if places.numel() else 0
    low, high = (
        torch.full((size,), start, dtype=values.dtype, device=values.device).scatter_reduce(
            0, places, values, how
        )
        for start, how in ((torch.inf, "amin"), (-torch.inf, "amax"))
    )
    return high > low
