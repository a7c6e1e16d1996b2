"""Operators of PyTorch's core, `torch.ops.aten.relu` and the like, as the public functions they implement.

Some code calls them by hand. Most take the arguments of the function or method with their name; the others
are written here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx
from torch._ops import OpOverload, OpOverloadPacket

from conversion.graph.forms import FORMS
from conversion.graph.nodes import write_as
from conversion.graph.operations import FUNCTIONS, METHODS, OUT_OF_PLACE

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _convolution(
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Any:
    if transposed:
        function = _TRANSPOSED[len(stride)]
        return function(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return _CONVOLUTIONS[len(stride)](input, weight, bias, stride, padding, dilation, groups)


def _batch_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Any:
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def _slice(self: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    whole = (slice(None),) * dim if dim >= 0 else (...,)
    return self[(*whole, slice(start, end, step), *(slice(None),) * (-dim - 1 if dim < 0 else 0))]


def _resized(mode: str) -> Callable[..., Any]:
    def form(input: Any, output_size: Any, *more: Any) -> Any:
        aligned = more[0] if len(more) > 1 else None
        return F.interpolate(input, output_size, more[-1], mode, aligned)

    return form


# Operators whose arguments are others than those of the function with their name.
_WRITTEN: dict[str, Callable[..., Any]] = {
    "convolution": _convolution,
    "batch_norm": _batch_norm,
    "slice": _slice,
    "t": lambda self: self.transpose(0, 1),
    "_softmax": lambda self, dim, half_to_float: torch.softmax(self, dim),
    "_to_copy": lambda self, *, dtype=None, **_: self if dtype is None else self.to(dtype),
    "instance_norm": lambda input, weight, bias, mean, var, use_input_stats, momentum, eps, *_: (
        F.instance_norm(input, mean, var, weight, bias, use_input_stats, momentum, eps)
    ),
    "elu": lambda self, alpha=1.0, scale=1, input_scale=1: F.elu(self, alpha),
    "upsample_nearest1d": _resized("nearest"),
    "upsample_nearest2d": _resized("nearest"),
    "upsample_bilinear2d": _resized("bilinear"),
    "upsample_bicubic2d": _resized("bicubic"),
}
# Functions of torch that take the arguments of the operator, not those of torch.nn.functional.
_PUBLIC: dict[Any, str] = {torch.convolution: "convolution", torch.batch_norm: "batch_norm"}


def write_publicly(captured: fx.GraphModule) -> None:
    """Rewrite a graph in place; what has no public form stays."""
    for node in list(captured.graph.nodes):
        if node.op != "call_function":
            continue
        name = _PUBLIC.get(node.target) or _name_of(node.target)
        if name is None:
            continue
        plain = name.removesuffix("_") if not name.endswith("__") else name
        if plain in _WRITTEN and (plain != "elu" or len(node.args) < 3):
            write_as(node, _WRITTEN[plain])
            continue
        function = _function(name)
        if function is not None:
            node.target = function
        elif plain in METHODS or name in OUT_OF_PLACE:
            node.op, node.target = "call_method", name


def _name_of(target: Any) -> str | None:
    """Name of an operator of PyTorch's core; None for anything else."""
    if isinstance(target, OpOverload):
        target = target.overloadpacket
    if not isinstance(target, OpOverloadPacket):
        return None
    room, _, name = target._qualified_op_name.partition("::")
    return name if room == "aten" else None


def _function(name: str) -> Callable[..., Any] | None:
    for room in (torch, F):
        function = getattr(room, name, None)
        if function is not None and (function in FUNCTIONS or function in FORMS or function in OUT_OF_PLACE):
            return function  # type: ignore[no-any-return]
    return None
