"""Averages, sums and interpolations as fixed weights: which outputs an input value has a weight in.

Windows and interpolations treat the axes of space one by one, so one small matrix for each axis
describes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, reduce
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, fx

from conversion.costs.additions import Placed, RunningSum, differ_in_sums
from conversion.costs.sampling import Sampled

_PROBE = 2**24  # values of a probe, see `Windows`
_ROUNDING = 1e-6  # of the largest weight: interpolations give smaller ones where they mean 0


class Spread(Protocol):
    """Fixed weights between the values of a signal before and after an operation."""

    @property
    def copies(self) -> bool:
        """True where a value may be part of several outputs."""

    @property
    def merges(self) -> bool:
        """True where an output may have several values in it."""

    def mixed(self, factors: Tensor, origins: Tensor) -> bool:
        """True where an output has multiples of different values by different factors in it.

        Args:
            factors: of each input.
            origins: number of what it is a multiple of.
        """

    def count(self, counts: Tensor) -> Tensor:
        """Spikes in each output, for spikes in each input; differentiable."""

    def matrix(self) -> Any:
        """The weights, sparse [outputs, inputs]."""


def spread_of(captured: fx.GraphModule, node: fx.Node, operation: Any, args: Any, kwargs: Any) -> Spread:
    """What a node spreads.

    Args:
        captured: the graph.
        node: an average, a sum or an interpolation.
        operation: runs it on plain tensors.
        args: its arguments; any values of the right shape.
        kwargs: its keyword arguments.
    """
    values: Tensor = args[0] if args else kwargs["input"]
    if node.op == "call_module":
        name = type(captured.get_submodule(str(node.target))).__name__
    else:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        if name in ("mean", "sum"):
            return Sum.of(name, values.shape, args[1:], kwargs)
        if name == "cumsum":
            return RunningSum(
                values.shape, args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis"))
            )
    if name in ("fold", "Fold", "added_at", "scattered"):
        others, more = args[1:], {key: value for key, value in kwargs.items() if key != "input"}
        return Placed(lambda x: operation(x, *others, **more), values)
    if name == "grid_sample":
        others, more = args[1:], {key: value for key, value in kwargs.items() if key != "input"}
        return Sampled(lambda x: operation(x, *others, **more), values)
    sides = [int(digit) for digit in name if digit.isdigit()]  # as in avg_pool2d
    inputs, named = (args[1:], kwargs) if args else ((), {k: v for k, v in kwargs.items() if k != "input"})
    space = sides[0] if sides and "psampl" not in name else values.ndim - 2
    return Windows(lambda x: operation(x, *inputs, **named), values, space)


class Sum:
    """A sum or mean along axes.

    Args:
        shape: of the input.
        axes: along which it runs.
        keep: they stay, with size 1.
        weight: of each value in the result.
    """

    copies = False

    def __init__(self, shape: torch.Size, axes: list[int], keep: bool, weight: float) -> None:
        self._shape, self._axes, self._keep, self._weight = shape, axes, keep, weight

    @classmethod
    def of(cls, name: str, shape: torch.Size, args: Any, kwargs: Any) -> Sum:
        """The sum or mean that a call computes."""
        given = dict(zip(("dim", "keepdim"), args, strict=False)) | kwargs
        axes = given.get("dim", given.get("axis"))
        if axes is None or axes == ():
            axes = range(len(shape))
        axes = [axes] if isinstance(axes, int) else axes
        axes = sorted({axis % len(shape) for axis in axes})
        count = math.prod(shape[axis] for axis in axes)
        return cls(shape, axes, bool(given.get("keepdim", False)), 1 / count if name == "mean" else 1.0)

    @property
    def merges(self) -> bool:
        """True where there is more than one value along the axes."""
        return any(self._shape[axis] > 1 for axis in self._axes)

    def mixed(self, factors: Tensor, origins: Tensor) -> bool:
        """See `Spread`."""
        return differ_in_sums(factors, origins, self._axes)

    def count(self, counts: Tensor) -> Tensor:
        """Sum of the counts."""
        return counts.sum(self._axes, keepdim=self._keep)

    def matrix(self) -> Any:
        """One entry for each input."""
        kept = [1 if axis in self._axes else size for axis, size in enumerate(self._shape)]
        rows = np.broadcast_to(np.arange(math.prod(kept)).reshape(kept), self._shape).ravel()
        weights = np.full(rows.size, self._weight)
        return sparse.csr_array((weights, (rows, np.arange(rows.size))), shape=(math.prod(kept), rows.size))


class Windows:
    """Average pooling or interpolation.

    Args:
        operation: runs it.
        like: any values of the right shape.
        space: how many axes, the last ones, it works along.
    """

    def __init__(self, operation: Callable[[Tensor], Tensor], like: Tensor, space: int) -> None:
        self._operation, self._like = operation, like
        self._axes = range(like.ndim - space, like.ndim)

    def count(self, counts: Tensor) -> Tensor:
        """Each spike once in every output that it has a weight in."""
        for axis, weights in zip(self._axes, self._weights, strict=True):
            touched = (weights != 0).to(counts)
            counts = torch.tensordot(counts, touched, dims=([axis], [0])).movedim(-1, axis)
        return counts

    @cached_property
    def copies(self) -> bool:
        """True where windows overlap, or values are repeated."""
        return any(bool(((weights != 0).sum(1) > 1).any()) for weights in self._weights)

    @cached_property
    def merges(self) -> bool:
        """True where an output lies between values."""
        return any(bool(((weights != 0).sum(0) > 1).any()) for weights in self._weights)

    def mixed(self, factors: Tensor, origins: Tensor) -> bool:
        """See `Spread`; looked for where a single window covers all of space."""
        whole = all(bool((weights != 0).all()) for weights in self._weights)
        return whole and differ_in_sums(factors, origins, list(self._axes))

    def matrix(self) -> Any:
        """Product of the weights along each axis."""
        alone = sparse.identity(math.prod(self._like.shape[: self._axes[0]]), format="csr")
        factors = [sparse.csr_array(weights.T.cpu().numpy()) for weights in self._weights]
        product = reduce(lambda one, two: sparse.kron(one, two, format="csr"), [alone, *factors])
        ones = self._like.new_ones(()).expand(self._like.shape)
        largest = float(self._operation(ones).max())  # the weights along one axis hold those of the others
        product.data *= largest / float(product.sum(1).max())
        return sparse.csr_array(product)

    @cached_property
    def _weights(self) -> list[Tensor]:
        """Weights along each axis [n_in, n_out], right but for a common factor."""
        with torch.no_grad():
            return [self._along(axis) for axis in self._axes]

    def _along(self, axis: int) -> Tensor:
        like, first = self._like, self._axes[0]
        n = like.shape[axis]
        # The other axes keep their size, so that windows fit and sizes given by the caller stay right.
        at_once = max(1, _PROBE // max(like.shape[first:].numel(), 1))
        found = []
        for basis in torch.eye(n, dtype=like.dtype, device=like.device).split(at_once):
            probe = basis.view(*[1] * (first - 1), len(basis), *(n if a == axis else 1 for a in self._axes))
            probe = probe.expand(*[1] * (first - 1), len(basis), *like.shape[first:])
            result = self._operation(probe).flatten(0, first - 1)
            by_output = result.movedim(axis - first + 1, 1).unsqueeze(-1).flatten(2)  # [basis, n_out, rest]
            largest = by_output.abs().argmax(2, keepdim=True)
            found.append(by_output.gather(2, largest)[..., 0])
        weights = torch.cat(found)
        return weights.where(weights.abs() > _ROUNDING * weights.abs().max(), 0.0)
