"""Operations of torch that are sums, products and moves of what they read, written out as these.

What is linear in a signal needs no function of real numbers: its mean over time is that of what arrives. So
`torch.lerp` is a difference times a factor, a sum over a trapezoid is one of neighbours, a Kronecker product
is a product of each value with each entry. Written out, such operations are counted as what they are: the
fan-out of their sums is known, and a constant that weighs values is a layer's weights.
"""

from __future__ import annotations

import inspect
import math
import operator
import string
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from conversion.functions.additions import added_at, scattered
from conversion.functions.attention import multi_head_attention
from conversion.functions.deformed import deformed
from conversion.graph.equations import plain_sum
from conversion.graph.nodes import write_as
from conversion.graph.stand_ins import Formless, Sized, Sizes, is_signal, rank_of, shape_of


def _neighbours(x: Any, dim: int) -> tuple[Any, Any]:
    """All values along an axis but the last, and all but the first."""
    others = x.size(dim) - 1
    return x.narrow(dim, 0, others), x.narrow(dim, 1, others)


def _lerp(input: Any, end: Any, weight: Any) -> Any:
    return input + (end - input) * weight


def _addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    product = tensor1 * tensor2
    return input + (product if value == 1 else product * value)


def _addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    quotient = tensor1 / tensor2
    return input + (quotient if value == 1 else quotient * value)


def _rsub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    return other - (input if alpha == 1 else input * alpha)


def _ldexp(input: Any, other: Any) -> Any:
    return input * 2.0**other


def _diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    parts = [part for part in (prepend, input, append) if part is not None]
    result = input if len(parts) == 1 else torch.cat(parts, dim)
    for _ in range(n):
        before, after = _neighbours(result, dim)
        result = after - before
    return result


def _trapezoids(y: Any, x: Any, dx: float, dim: int) -> Any:
    before, after = _neighbours(y, dim)
    if x is None:
        return (before + after) * (dx / 2)
    if rank_of(x) == 1:
        first, last = _neighbours(x, 0)
        widths = (last - first).view(-1, *[1] * (rank_of(y) - 1 - dim % rank_of(y)))
    else:
        first, last = _neighbours(x, dim)
        widths = last - first
    return (before + after) * (widths * 0.5)


def _trapezoid(y: Any, x: Any = None, *, dx: float = 1, dim: int = -1) -> Any:
    return _trapezoids(y, x, dx, dim).sum(dim)


def _cumulative_trapezoid(y: Any, x: Any = None, *, dx: float = 1, dim: int = -1) -> Any:
    return _trapezoids(y, x, dx, dim).cumsum(dim)


def _mean(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return torch.mean(input, dim, keepdim)


def _sum(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return torch.sum(input, dim, keepdim)


def _vecdot(x: Any, y: Any, *, dim: int = -1) -> Any:
    return (x * y).sum(dim)


def _cross(input: Any, other: Any, dim: int) -> Any:
    one, two = (
        torch.roll(input, first, dim) * torch.roll(other, second, dim)
        for first, second in ((-1, -2), (-2, -1))
    )
    return one - two


def _linalg_cross(input: Any, other: Any, *, dim: int = -1) -> Any:
    return _cross(input, other, dim)


def _tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    ranks = rank_of(a), rank_of(b)
    if isinstance(dims, int):
        dims = range(ranks[0] - dims, ranks[0]), range(dims)
    pairs = [[axis % rank for axis in _listed(along)] for along, rank in zip(dims, ranks, strict=True)]
    letters = string.ascii_letters
    one, two = list(letters[: ranks[0]]), list(letters[ranks[0] : sum(ranks)])
    for first, second in zip(*pairs, strict=True):
        two[second] = one[first]
    made = [letter for letter in one + two if (letter in one) != (letter in two)]
    return torch.einsum(f"{''.join(one)},{''.join(two)}->{''.join(made)}", a, b)


def _inner(input: Any, other: Any) -> Any:
    if not rank_of(input) or not rank_of(other):
        return input * other
    return _tensordot(input, other, ([-1], [-1]))


def _kron(input: Any, other: Any) -> Any:
    """Each value of one times each entry of the other, which is its neighbour along every axis."""
    rank = max(rank_of(input), rank_of(other))
    firsts = [shape_of(x)[0] for x in (input, other) if rank_of(x) == rank > 0]
    if not firsts or any(first != 1 for first in firsts) or (is_signal(input) and is_signal(other)):
        raise Formless  # each image would become several
    one, two = (x[(None,) * (rank - rank_of(x))] if rank_of(x) < rank else x for x in (input, other))
    whole = slice(None)
    one, two = one[(whole, None) * rank], two[(None, whole) * rank]
    # The images stay alone in the first axis: the constant beside them has one entry along it.
    result = one.squeeze(1) * two.squeeze(0)
    for axis in range(1, rank):
        result = result.flatten(axis, axis + 1)
    return result


def _multi_dot(tensors: Any) -> Any:
    result = tensors[0]
    for factor in tensors[1:]:
        result = torch.matmul(result, factor)
    return result


def _chain_matmul(*matrices: Any) -> Any:
    return _multi_dot(matrices)


def _same(input: Any) -> Any:
    return input


def _radians(input: Any) -> Any:
    return input * (math.pi / 180)


def _degrees(input: Any) -> Any:
    return input * (180 / math.pi)


def _at_least(axes: int) -> Callable[..., Any]:
    def form(input: Any) -> Any:
        if rank_of(input) < axes:
            raise Formless  # the images would leave the first axis
        return input

    return form


def _columns(tensors: Sequence[Any]) -> Any:
    return torch.cat([x[:, None] if rank_of(x) == 1 else x for x in tensors], 1)


def _index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    added = added_at(source, dim, index, input.size(dim))
    return input + (added if alpha == 1 else added * alpha)


def _scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    shapes = [list(shape_of(one)) for one in (input, index, src)]
    for shape in shapes:
        if not shape:
            raise Formless
        shape[dim] = 0
    if any(shape[1:] != shapes[0][1:] for shape in shapes) or shape_of(index) != shape_of(src):
        raise Formless  # some entries are left out
    return input + scattered(src, dim, index, input.size(dim))


def _scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True
) -> Any:
    if reduce != "sum" or not include_self:
        raise Formless
    return _scatter_add(input, dim, index, src)


def _sum_with_product(input: Any, one: Any, two: Any, beta: float, alpha: float) -> Any:
    product = torch.matmul(one, two)
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return product + (input if beta == 1 else input * beta)


def _addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    return _sum_with_product(input, mat1, mat2, beta, alpha)


def _baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    return _sum_with_product(input, batch1, batch2, beta, alpha)


def _addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    return _sum_with_product(input, mat, vec, beta, alpha)


def _sum_to_size(input: Any, *size: Any) -> Any:
    sizes = list(size[0]) if len(size) == 1 and isinstance(size[0], list | tuple) else list(size)
    before = shape_of(input)
    ones = [axis for axis, size in enumerate(sizes) if isinstance(size, int) and size == 1]
    if len(sizes) != len(before) or 0 in ones:
        raise Formless
    axes = [axis for axis in ones if before[axis] > 1]
    return input.sum(axes, keepdim=True) if axes else input


def _constant_pad(input: Any, pad: Any, value: float = 0) -> Any:
    return F.pad(input, pad, "constant", value)


def _narrow(input: Any, dim: int, start: Any, length: Any) -> Any:
    return input.narrow(dim, start, length)


_CONVOLUTION = ("stride", "padding", "dilation", "groups")
_TRANSPOSED = ("stride", "padding", "output_padding", "groups", "dilation")
_USUAL = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}


def _convolution(operation: Any, names: tuple[str, ...]) -> Callable[..., Any]:
    """Weights that a network computes from its images: a product of two signals, and the bias after it."""

    def form(input: Any, weight: Any, bias: Any = None, *more: Any, **named: Any) -> Any:
        if not is_signal(weight):
            raise Formless
        settings = _USUAL | dict(zip(names, more, strict=False)) | named
        product = operation(input, weight, None, *(settings[name] for name in names))
        if bias is None:
            return product
        return product + bias.view(-1, *[1] * (rank_of(weight) - 2))

    return form


def _affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """Places of a grid of size 2, or 3, times each image's matrix [B, 2, 3], or [B, 3, 4]."""
    axes = shape_of(theta)[1]
    space = [size[2 + axis] for axis in range(axes)]
    make = theta.tracer.create_proxy
    plain = make("call_function", torch.eye, (axes, axes + 1), {}).type_as(theta)[None]
    grid = make("call_function", F.affine_grid, (plain, [1, 1, *space], align_corners), {})
    turned = torch.matmul(theta[:, :, :axes], grid.view(-1, axes).transpose(0, 1)) + theta[:, :, axes:]
    return turned.transpose(1, 2).unflatten(1, tuple(space))


def _deform_conv2d(input: Any, weight: Any, offset: Any, mask: Any, bias: Any, *settings: Any) -> Any:
    """torchvision's deformable convolution, with weights that are constant."""
    if is_signal(weight):
        raise Formless
    kernel = tuple(shape_of(weight)[2:])
    return deformed(input, weight, offset, mask, bias, *settings, kernel=kernel)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | range) else [value]


# Functions and methods -> what they are. Methods take the signal first, as functions do.
FORMS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((torch.lerp, "lerp"), _lerp),
    **dict.fromkeys((torch.addcmul, "addcmul"), _addcmul),
    **dict.fromkeys((torch.addcdiv, "addcdiv"), _addcdiv),
    torch.rsub: _rsub,
    **dict.fromkeys((torch.ldexp, "ldexp"), _ldexp),
    **dict.fromkeys((torch.diff, "diff"), _diff),
    **dict.fromkeys((torch.trapezoid, torch.trapz), _trapezoid),
    torch.cumulative_trapezoid: _cumulative_trapezoid,
    **dict.fromkeys((torch.nanmean, "nanmean"), _mean),
    **dict.fromkeys((torch.nansum, "nansum"), _sum),
    torch.linalg.vecdot: _vecdot,
    **dict.fromkeys((torch.cross, "cross"), _cross),
    torch.linalg.cross: _linalg_cross,
    **dict.fromkeys((torch.tensordot, torch.functional.tensordot), _tensordot),
    **dict.fromkeys((torch.inner, "inner"), _inner),
    **dict.fromkeys((torch.kron, "kron"), _kron),
    torch.linalg.multi_dot: _multi_dot,
    **dict.fromkeys((torch.chain_matmul, torch.functional.chain_matmul), _chain_matmul),
    torch.linalg.matmul: lambda input, other: torch.matmul(input, other),
    **dict.fromkeys((operator.pos, torch.positive, "positive", torch.real, torch.conj, "conj"), _same),
    **dict.fromkeys((torch.resolve_conj, "resolve_conj", torch.resolve_neg, "resolve_neg"), _same),
    **dict.fromkeys((torch.deg2rad, "deg2rad"), _radians),
    **dict.fromkeys((torch.rad2deg, "rad2deg"), _degrees),
    **{getattr(torch, f"atleast_{axes}d"): _at_least(axes) for axes in (1, 2, 3)},
    torch.column_stack: _columns,
    F.multi_head_attention_forward: multi_head_attention,
    **dict.fromkeys((torch.fliplr, "fliplr"), lambda input: input.flip(1)),
    **dict.fromkeys((torch.adjoint, "adjoint"), lambda input: input.transpose(-2, -1)),
    **dict.fromkeys((torch.index_add, "index_add"), _index_add),
    **dict.fromkeys((torch.scatter_add, "scatter_add"), _scatter_add),
    **dict.fromkeys((torch.scatter_reduce, "scatter_reduce"), _scatter_reduce),
    **dict.fromkeys((torch.einsum, torch.functional.einsum), plain_sum),
    **dict.fromkeys((torch.mm, "mm"), lambda input, mat2: torch.matmul(input, mat2)),
    **dict.fromkeys((torch.bmm, "bmm"), lambda input, mat2: torch.matmul(input, mat2)),
    **dict.fromkeys((torch.mv, "mv"), lambda input, vec: torch.matmul(input, vec)),
    **dict.fromkeys((torch.addmm, "addmm"), _addmm),
    **dict.fromkeys((torch.baddbmm, "baddbmm"), _baddbmm),
    **dict.fromkeys((torch.addmv, "addmv"), _addmv),
    **{op: _convolution(op, _CONVOLUTION) for op in (F.conv1d, F.conv2d, F.conv3d)},
    F.conv_transpose1d: _convolution(F.conv_transpose1d, _TRANSPOSED),
    F.conv_transpose2d: _convolution(F.conv_transpose2d, _TRANSPOSED),
    F.conv_transpose3d: _convolution(F.conv_transpose3d, _TRANSPOSED),
    F.affine_grid: _affine_grid,
    "torchvision::deform_conv2d": _deform_conv2d,
    "sum_to_size": _sum_to_size,
    torch.constant_pad_nd: _constant_pad,
    **dict.fromkeys((torch.narrow_copy, "narrow_copy"), _narrow),
    **dict.fromkeys(("cpu", "cuda", "requires_grad_"), lambda input, *_, **__: input),
}


def write_out_forms(
    captured: fx.GraphModule,
    signals: set[fx.Node],
    shapes: Callable[[], Mapping[fx.Node, torch.Size]] | None = None,
) -> None:
    """Rewrite a graph in place.

    Args:
        captured: graph of a network.
        signals: values that depend on images.
        shapes: runs the graph on one image and says the shapes of its values; without it, operations stay
            whose form depends on them.
    """
    sizes = Sizes(signals, shapes)
    for node in list(captured.graph.nodes):
        if node not in signals or node.op not in ("call_function", "call_method"):
            continue
        form = FORMS.get(_key_of(node.target))
        if form is None:
            continue
        try:
            inspect.signature(form).bind(*node.args, **node.kwargs)
        except TypeError:
            continue  # it is told with all that has no role
        with suppress(Formless, NotImplementedError):
            write_as(node, form, lambda one, tracer: Sized(one, tracer, sizes))


def _key_of(target: Any) -> Any:
    """What `FORMS` has for a target: itself, or for an operator of another library its name."""
    packet = getattr(target, "overloadpacket", target)
    return getattr(packet, "_qualified_op_name", target)
