"""Complex numbers as pairs of real ones, along an axis of their own behind all others.

Rotary places turn pairs of features by constants; spectral networks transform maps, weigh their frequencies
and transform back (see `conversion.graph.spectra`). Written in real numbers, all of this is affine, or
products of signals. Complex values that are made or read in another way have no role.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from conversion.functions.choices import written
from conversion.graph.nodes import Adding
from conversion.graph.spectra import SHIFTS, TRANSFORMS, Sizes, Unknown, shifted, transformed
from conversion.graph.tracing import IMAGE_SIZE

_STARTS = (torch.view_as_complex, torch.complex, torch.polar, *TRANSFORMS, *SHIFTS)
_PRODUCTS = (operator.mul, torch.mul, "mul")
_SUMS = (operator.add, torch.add, "add", operator.sub, torch.sub, "sub")
_OF_LETTERS = (torch.einsum, torch.functional.einsum)
_MATRICES = (operator.matmul, torch.matmul, "matmul")
_SAME = ("contiguous", "clone", "detach", torch.clone)
_CONJUGATES = (torch.conj, "conj", torch.conj_physical, "conj_physical")
_RESHAPES = ("view", "reshape", torch.reshape)
# Operations along axes -> where they say which, counted from the end of what they read (0) or give (1).
_ALONG: dict[Any, tuple[tuple[str, int], int]] = {
    **dict.fromkeys(("flip", torch.flip), (("dims", 1), 0)),
    **dict.fromkeys(("roll", torch.roll), (("dims", 2), 0)),
    **dict.fromkeys(("unsqueeze", torch.unsqueeze), (("dim", 1), 1)),
    **dict.fromkeys(("squeeze", torch.squeeze), (("dim", 1), 0)),
    **dict.fromkeys(("sum", torch.sum, "mean", torch.mean), (("dim", 1), 0)),
}


def write_in_real_numbers(captured: fx.GraphModule, signals: set[fx.Node], images: Tensor | None) -> None:
    """Rewrite a graph in place.

    Args:
        captured: graph of a network.
        signals: values that depend on images.
        images: what the network takes, [1, ...]; without them only what needs no shapes is written out.
    """
    if not any(node.target in _STARTS and node in signals for node in captured.graph.nodes):
        return
    pairs = _Pairs(captured, signals, images)
    for node in list(captured.graph.nodes):
        if node in signals and node.op in ("call_function", "call_method"):
            pairs.visit(node)
    captured.graph.eliminate_dead_code()


class _Pairs:
    """Pairs [..., 2] of the complex values of a graph."""

    def __init__(self, captured: fx.GraphModule, signals: set[fx.Node], images: Tensor | None) -> None:
        self._captured, self._signals, self._images = captured, signals, images
        self._of: dict[fx.Node, fx.Node] = {}
        self._sizes: Sizes | None = None

    def visit(self, node: fx.Node) -> None:
        """Write an operation out, if it makes or reads complex numbers."""
        if node.target not in _STARTS and not any(source in self._of for source in node.all_input_nodes):
            return
        try:
            real = self._read(node) if node.target in _READS or _asks(node) else None
            if real is None:
                self._make(node)
            else:
                self._replace(node, real)
        except Unknown:
            return  # it is told with all that has no role

    def _read(self, node: fx.Node) -> fx.Node:
        """Real numbers of complex ones."""
        pairs, add = self._pairs(node.all_input_nodes[0]), Adding(node)
        name = str(node.args[1]) if node.target is getattr else _READS[node.target]
        if name == "pairs":
            return pairs
        if name == "abs":
            return add.function(torch.linalg.vector_norm, pairs, 2, -1)
        if name in ("shape", "size"):
            raise Unknown
        real, imaginary = self._parts(add, pairs)
        if name == "angle":
            return add.function(torch.atan2, imaginary, real)
        return real if name == "real" else imaginary

    def _make(self, node: fx.Node) -> None:
        """Pairs of what an operation gives; real numbers where a transform gives these."""
        target, args, add = self._call(node)
        if target is torch.view_as_complex:
            self._of[node] = args[0]
        elif target is torch.complex:
            self._of[node] = add.function(torch.stack, [*args], -1)
        elif target is torch.polar:
            parts = [
                add.function(operator.mul, args[0], add.function(f, args[1])) for f in (torch.cos, torch.sin)
            ]
            self._of[node] = add.function(torch.stack, parts, -1)
        elif target in SHIFTS:
            source = node.all_input_nodes[0]
            made = shifted(node, self._of.get(source, source), self._known())
            if source in self._of:
                self._of[node] = made
            else:
                self._replace(node, made)
        elif target in TRANSFORMS:
            source = node.all_input_nodes[0]
            value, is_pairs = transformed(
                self._captured, node, self._of.get(source, source), source in self._of, self._known()
            )
            if is_pairs:
                self._of[node] = value
            else:
                self._replace(node, value)
            assert self._images is not None
            self._captured.meta[IMAGE_SIZE] = tuple(self._images.shape[1:])
        else:
            self._of[node] = self._changed(node, add)

    def _replace(self, node: fx.Node, real: fx.Node) -> None:
        self._signals.add(real)
        node.replace_all_uses_with(real)

    def _pairs(self, value: Any) -> fx.Node:
        if value not in self._of:
            raise Unknown
        return self._of[value]

    @staticmethod
    def _call(node: fx.Node) -> tuple[Any, Any, Adding]:
        return node.target, node.args, Adding(node)

    def _changed(self, node: fx.Node, add: Adding) -> fx.Node:
        target, args, _ = self._call(node)
        if target in (*_PRODUCTS, *_MATRICES) and len(args) == 2:
            return self._product(add, lambda one, two: add.function(target, one, two), *args)
        if target in _OF_LETTERS:
            factors = args[1] if len(args) == 2 else args[1:]
            if len(factors) == 2:
                sums: Any = lambda one, two: add.function(torch.einsum, args[0], one, two)  # noqa: E731
                return self._product(add, sums, *factors)
        if target in _SUMS and len(args) == 2 and not node.kwargs:
            return add.function(target, *(self._complex(add, value) for value in args))
        if target in (operator.truediv, torch.div, "div") and isinstance(args[1], int | float):
            return add.function(operator.truediv, self._pairs(args[0]), args[1])
        if target in (operator.neg, torch.neg, "neg"):
            return add.function(operator.neg, self._pairs(args[0]))
        if target in _CONJUGATES:
            real, imaginary = self._parts(add, self._pairs(args[0]))
            return add.function(torch.stack, [real, add.function(operator.neg, imaginary)], -1)
        if target in _SAME:
            return self._pairs(args[0])
        if target is operator.getitem and args[0] in self._of:
            return add.function(operator.getitem, self._pairs(args[0]), _index(args[1]))
        if target is written:
            base, index, value = args
            return add.function(written, self._complex(add, base), _index(index), self._complex(add, value))
        return self._moved(node, add)

    def _moved(self, node: fx.Node, add: Adding) -> fx.Node:
        """An operation that moves values, or sums them, along axes of its own."""
        target, given, _ = self._call(node)
        args, kwargs = list(given), dict(node.kwargs)
        if target in (torch.cat, torch.stack):
            values = [self._complex(add, value) for value in args[0]]
            axis: Any = args[1] if len(args) > 1 else kwargs.get("dim", 0)
            rank = self._rank(args[0][0]) + (target is torch.stack)
            return add.function(target, values, axis % rank)
        source: Any = args[0]
        if source not in self._of:
            raise Unknown
        pairs, rank = self._of[source], self._rank(source)
        if target in _RESHAPES:
            sizes = list(args[1]) if isinstance(args[1], list | tuple) else args[1:]
            return add.method("reshape", pairs, (*sizes, 2))
        if target in ("permute", torch.permute):
            order = list(args[1]) if isinstance(args[1], list | tuple) else args[1:]
            return add.method("permute", pairs, *(axis % rank for axis in order), rank)
        if target in ("transpose", torch.transpose, "movedim", torch.movedim) and not kwargs:
            name = target if isinstance(target, str) else target.__name__
            ends = [_counted(axis, rank) for axis in args[1:]]
            return add.method(name, pairs, *ends)
        if target in ("flatten", torch.flatten):
            ends = [*args[1:], *[0, -1][len(args) - 1 :]]
            return add.method("flatten", pairs, *(axis % rank for axis in ends))
        if target in _ALONG:
            (keyword, at), more = _ALONG[target]
            if keyword not in kwargs and len(args) <= at:
                raise Unknown
            if keyword in kwargs:
                kwargs[keyword] = _counted(kwargs[keyword], rank + more)
            else:
                args[at] = _counted(args[at], rank + more)
            name = target if isinstance(target, str) else target.__name__
            made = add.method(name, pairs, *args[1:])
            made.kwargs = kwargs
            return made
        raise Unknown

    def _product(self, add: Adding, times: Callable[[Any, Any], fx.Node], one: Any, two: Any) -> fx.Node:
        """Product of two complex factors, of which one may be a number, a constant or real."""
        if isinstance(two, int | float) or isinstance(one, int | float):
            number, value = (two, one) if isinstance(two, int | float) else (one, two)
            return add.function(operator.mul, self._pairs(value), number)
        halves: list[tuple[fx.Node, fx.Node | None]] = []
        for factor in (one, two):
            if factor in self._of:
                halves.append(self._parts(add, self._of[factor]))
            elif isinstance(factor, fx.Node) and factor not in self._signals:
                halves.append(self._parts_of_constant(add, factor))
            elif isinstance(factor, fx.Node):
                halves.append((factor, None))  # a real signal
            else:
                raise Unknown
        (a, b), (c, d) = halves
        if b is None or d is None:
            real, imaginary = times(a, c), times(a, d) if b is None else times(b, c)
        else:
            real = add.function(operator.sub, times(a, c), times(b, d))
            imaginary = add.function(operator.add, times(a, d), times(b, c))
        return add.function(torch.stack, [real, imaginary], -1)

    def _complex(self, add: Adding, value: Any) -> fx.Node:
        """Pairs of a signal or of a constant."""
        if value in self._of:
            return self._of[value]
        if not isinstance(value, fx.Node) or value in self._signals:
            raise Unknown
        return add.function(torch.view_as_real, add.function(operator.mul, value, 1 + 0j))

    @staticmethod
    def _parts(add: Adding, pairs: fx.Node) -> tuple[fx.Node, fx.Node]:
        real, imaginary = (add.method("select", pairs, -1, part) for part in (0, 1))
        return real, imaginary

    @staticmethod
    def _parts_of_constant(add: Adding, constant: fx.Node) -> tuple[fx.Node, fx.Node]:
        number = add.function(operator.mul, constant, 1 + 0j)  # it may be real
        real, imaginary = (add.function(getattr, number, name) for name in ("real", "imag"))
        return real, imaginary

    def _rank(self, value: fx.Node) -> int:
        return len(self._known().shapes[value])

    def _known(self) -> Sizes:
        if self._images is None:
            raise Unknown
        if self._sizes is None:
            self._sizes = Sizes(self._captured, self._images)
        return self._sizes


_READS: dict[Any, str] = {
    torch.view_as_real: "pairs",
    **dict.fromkeys((torch.abs, "abs", operator.abs), "abs"),
    **dict.fromkeys((torch.angle, "angle"), "angle"),
    torch.real: "real",
    torch.imag: "imag",
}


def _asks(node: fx.Node) -> bool:
    return node.target is getattr and node.args[1] in ("real", "imag")


def _index(index: Any) -> Any:
    """An index that leaves the pairs alone."""
    parts = index if isinstance(index, tuple) else (index,)
    return (*parts, slice(None)) if Ellipsis in parts else index


def _counted(axes: Any, rank: int) -> Any:
    """Axes counted from the front: behind all of them there is one more."""
    if isinstance(axes, list | tuple):
        return [axis % rank for axis in axes]
    return axes % rank
