"""Fourier transforms as products with constant matrices, in real numbers.

A transform along one axis is linear: each value of its result is a sum of all values along the axis, times
constants. So it is a layer with weights, and is counted as one. Transforms over several axes are done axis
by axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from conversion.graph.nodes import Adding
from conversion.graph.refusal import argument

_ALONG_ONE = frozenset(getattr(torch.fft, name) for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"))
# Transforms -> those along the other axes and along the last one, and whether the last axis comes first.
_ALONG_MANY: dict[Any, tuple[Any, Any, bool]] = {
    getattr(torch.fft, f"{name}{axes}"): steps
    for name, steps in {
        "fft": (torch.fft.fft, torch.fft.fft, True),
        "ifft": (torch.fft.ifft, torch.fft.ifft, True),
        "rfft": (torch.fft.fft, torch.fft.rfft, True),
        "irfft": (torch.fft.ifft, torch.fft.irfft, False),
    }.items()
    for axes in ("2", "n")
}
_ROUNDING = 1e-12  # of the largest weight: sines of whole turns are 0
TRANSFORMS = frozenset({*_ALONG_ONE, *_ALONG_MANY})
SHIFTS: dict[Any, int] = {torch.fft.fftshift: 0, torch.fft.ifftshift: 1}  # -> by half of an axis, rounded up


class Unknown(Exception):
    """An operation on complex numbers that nobody has written in real ones."""


class Sizes(fx.Interpreter):
    """Shapes of values with one image, and numbers that come from them."""

    def __init__(self, captured: fx.GraphModule, images: Tensor) -> None:
        super().__init__(captured)
        self.shapes: dict[fx.Node, torch.Size] = {}
        self._numbers: dict[fx.Node, Any] = {}
        with torch.no_grad():
            self.run(images.clone())

    def run_node(self, n: fx.Node) -> Any:
        """Note what a node gives."""
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = value.shape
        else:
            self._numbers[n] = value
        return value

    def numbers(self, value: Any) -> Any:
        """A number or several, or what nodes give for them."""
        return fx.map_arg(value, lambda node: self._numbers.get(node))


def transformed(
    captured: fx.GraphModule, node: fx.Node, source: fx.Node, is_pairs: bool, sizes: Sizes
) -> tuple[fx.Node, bool]:
    """What a transform gives: real numbers, or pairs of them along a last axis.

    Args:
        captured: gets the matrices.
        node: the transform.
        source: what it reads; pairs, if it reads complex numbers.
        is_pairs: it does.
        sizes: of the graph.

    Returns:
        Its result, and whether these are pairs.
    """
    target: Any = node.target
    shape = list(sizes.shapes[node.all_input_nodes[0]])
    many = target in _ALONG_MANY
    lengths = sizes.numbers(argument(node, "s" if many else "n", 1))
    axes = argument(node, "dim", 2, (-2, -1) if target.__name__.endswith("2") else -1)
    if many and target.__name__.endswith("n") and argument(node, "dim", 2) is None:
        axes = range(-len(lengths), 0) if lengths is not None else range(len(shape))
    axes = [axis % len(shape) for axis in (axes if isinstance(axes, list | tuple | range) else [axes])]
    if 0 in axes or len(set(axes)) < len(axes):
        raise Unknown  # images would meet
    lengths = list(lengths) if isinstance(lengths, list | tuple) else [lengths] * len(axes)
    steps = [(target, 0)]
    if many:
        others, last, last_first = _ALONG_MANY[target]
        steps = [(others, at) for at in range(len(axes) - 1)]
        steps.insert(0 if last_first else len(steps), (last, len(axes) - 1))
    value = source
    for function, at in steps:
        matrix, n_out, gives_pairs = _matrix(
            function, shape[axes[at]], is_pairs, lengths[at], argument(node, "norm", 3)
        )
        value = _along(captured, node, value, matrix, axes[at], n_out, is_pairs, gives_pairs)
        shape[axes[at]], is_pairs = n_out, gives_pairs
    return value, is_pairs


def shifted(node: fx.Node, value: fx.Node, sizes: Sizes) -> fx.Node:
    """What `torch.fft.fftshift` or its inverse gives, of real numbers or of pairs."""
    target: Any = node.target
    shape, axes = sizes.shapes[node.all_input_nodes[0]], argument(node, "dim", 1)
    if axes is None:
        raise Unknown  # the images would move
    axes = [axis % len(shape) for axis in (axes if isinstance(axes, list | tuple) else [axes])]
    return Adding(node).method("roll", value, [(shape[axis] + SHIFTS[target]) // 2 for axis in axes], axes)


def _matrix(
    function: Callable[..., Tensor], size: int, of_pairs: bool, n: int | None, norm: Any
) -> tuple[Tensor, int, bool]:
    """Weights [values in, out] of a transform along an axis, its length then, and if it gives pairs."""
    basis = torch.eye(size, dtype=torch.float64)
    if of_pairs:
        basis = torch.stack([basis.to(torch.complex128), 1j * basis], 1).flatten(0, 1)
    result = function(basis, n=n, dim=-1, norm=norm)
    pairs = result.is_complex()
    weights = torch.view_as_real(result.resolve_conj()).flatten(1) if pairs else result
    weights = weights.where(weights.abs() > _ROUNDING * weights.abs().max(), 0.0)
    return weights, result.shape[-1], pairs


def _along(
    captured: fx.GraphModule,
    node: fx.Node,
    value: fx.Node,
    matrix: Tensor,
    axis: int,
    length: int,
    of_pairs: bool,
    to_pairs: bool,
) -> fx.Node:
    """A value times a matrix, along one axis."""
    add = Adding(node)
    count = sum(name.startswith("transform_") for name, _ in captured.named_buffers())
    captured.register_buffer(f"transform_{count}", matrix.to(_dtype_of(captured)))
    last = add.method("movedim", value, axis, -2 if of_pairs else -1)
    last = add.method("flatten", last, -2) if of_pairs else last
    result = add.function(torch.matmul, last, add.attribute(f"transform_{count}"))
    if to_pairs:
        result = add.method("unflatten", result, -1, (length, 2))
    return add.method("movedim", result, -2 if to_pairs else -1, axis)


def _dtype_of(captured: nn.Module) -> torch.dtype:
    found = [value.dtype for value in captured.parameters() if value.is_floating_point()]
    return found[0] if found else torch.get_default_dtype()
