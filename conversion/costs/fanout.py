"""Counting rules of single operations, for `conversion.costs.synapses`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn


@dataclass(frozen=True)
class Layer:
    """Geometry of a layer with weights, without the weights."""

    dimensions: int  # 0 for linear layers
    outputs: int  # output channels or features
    groups: int = 1
    transposed: bool = False
    kernel: tuple[int, ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()  # stride, padding, dilation, output_padding
    border: tuple[str, tuple[int, ...]] | None = None  # padding mode and amounts, if not zeros
    inputs: int = 0
    bias: bool = False

    @property
    def taps(self) -> int:
        """Kernel positions over all output channels; 0 for a linear layer."""
        return self.outputs * math.prod(self.kernel) if self.dimensions else 0

    @property
    def weights(self) -> int:
        """Number of weights, without the bias."""
        return self.outputs * self.inputs // self.groups * math.prod(self.kernel)


_CONVOLUTIONS = {
    "conv1d": (1, False),
    "conv2d": (2, False),
    "conv3d": (3, False),
    "conv_transpose1d": (1, True),
    "conv_transpose2d": (2, True),
    "conv_transpose3d": (3, True),
}
_LINEAR_ARGUMENTS = ("input", "weight", "bias")
_CONV_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED_ARGUMENTS = (
    "input",
    "weight",
    "bias",
    "stride",
    "padding",
    "output_padding",
    "groups",
    "dilation",
)


_PROBE = 2**24  # values of a probe, see `_touches`


def squash(captured: fx.GraphModule, node: fx.Node, args: Any, kwargs: Any) -> Layer:
    """Geometry of the layer that a node runs."""
    if node.op == "call_module":
        return _of_module(captured.get_submodule(str(node.target)), args, kwargs)
    if node.op == "call_method" or node.target in (operator.matmul, torch.matmul):
        return _of_product(args[1] if len(args) > 1 else kwargs["other"])
    name = getattr(node.target, "__name__", "")
    if name == "linear":
        values = dict(zip(_LINEAR_ARGUMENTS, args, strict=False)) | kwargs
        outputs, inputs = values["weight"].shape
        return Layer(0, outputs, inputs=inputs, bias=values.get("bias") is not None)
    dimensions, transposed = _CONVOLUTIONS[name]
    names = _TRANSPOSED_ARGUMENTS if transposed else _CONV_ARGUMENTS
    values = dict(zip(names, args, strict=False)) | kwargs
    weight, groups = values["weight"], values.get("groups", 1)
    settings = {k: values[k] for k in ("stride", "padding", "dilation", "output_padding") if k in values}
    outputs = weight.shape[1] * groups if transposed else weight.shape[0]
    inputs = weight.shape[0] if transposed else weight.shape[1] * groups
    return Layer(
        dimensions,
        outputs,
        groups,
        transposed,
        tuple(weight.shape[2:]),
        tuple(settings.items()),
        None,
        inputs,
        values.get("bias") is not None,
    )


def _of_product(weight: Tensor) -> Layer:
    """A signal times a constant matrix [..., inputs, outputs] or vector [inputs]."""
    matrix = weight if weight.ndim > 1 else weight[:, None]
    return Layer(0, matrix.shape[-1], inputs=matrix.shape[-2])


def _of_module(module: nn.Module, args: Any, kwargs: Any) -> Layer:
    if isinstance(module, nn.Linear):
        return Layer(0, module.out_features, inputs=module.in_features, bias=module.bias is not None)
    conv: Any = module
    names = ["stride", "padding", "dilation"] + (["output_padding"] if conv.transposed else [])
    settings = {key: getattr(conv, key) for key in names}
    output_size = args[1] if len(args) > 1 else kwargs.get("output_size")
    if output_size is not None:  # asks for more border than the module's own setting
        settings["output_padding"] = tuple(
            conv._output_padding(
                args[0] if args else kwargs["input"],
                list(output_size),
                conv.stride,
                conv.padding,
                conv.kernel_size,
                len(conv.kernel_size),
                conv.dilation,
            )
        )
    border = None
    if conv.padding_mode != "zeros":
        border = (conv.padding_mode, tuple(conv._reversed_padding_repeated_twice))
        settings["padding"] = 0
    return Layer(
        len(conv.kernel_size),
        conv.out_channels,
        conv.groups,
        conv.transposed,
        tuple(conv.kernel_size),
        tuple(settings.items()),
        border,
        conv.in_channels,
        conv.bias is not None,
    )


def synapses_hit(layer: Layer, counts: Tensor) -> Tensor:
    """Spikes that arrive at each position of a convolution's output, and at each of its groups of channels.

    Args:
        layer: the convolution.
        counts: spikes at its input, [1, C, ...].

    Returns:
        [1, groups, ...], differentiable; each output channel of a group has so many synaptic operations.
    """
    # Channels of a group share their fan-out, so one channel per group is enough.
    grouped = counts.unflatten(1, (layer.groups, -1)).sum(2)
    if layer.border is not None:
        grouped = F.pad(grouped, layer.border[1], mode=layer.border[0])
    name = f"conv_transpose{layer.dimensions}d" if layer.transposed else f"conv{layer.dimensions}d"
    ones = counts.new_ones(layer.groups, 1, *layer.kernel)
    hit: Tensor = getattr(F, name)(grouped, ones, groups=layer.groups, **dict(layer.settings))
    return hit


def dense_macs(layer: Layer, inputs: Tensor, output: Tensor) -> float:
    """Multiply-accumulates of the dense layer for one image, padding included, as is usual."""
    if layer.dimensions == 0:
        return float(output.numel() * layer.inputs)
    taps = math.prod(layer.kernel)
    if layer.transposed:
        return float(inputs.numel() * layer.outputs // layer.groups * taps)
    return float(output.numel() * layer.inputs // layer.groups * taps)


def spread(operation: Callable[..., Any], node: fx.Node, args: Any, kwargs: Any) -> Tensor:
    """Spike counts after averaging or interpolation: each spike counts once in every output that it
    has a weight in.
    """
    counts: Tensor = args[0] if args else kwargs["input"]
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")  # no module's
    if name in ("mean", "sum"):
        return _summed(counts, args[1:], kwargs)
    output = operation(*args, **kwargs)
    result = counts
    for axis in range(2, counts.ndim):
        touches = _touches(operation, counts, args, kwargs, axis).to(counts.dtype)
        result = torch.tensordot(result, touches, dims=([axis], [0])).movedim(-1, axis)
    if result.shape != output.shape:
        raise AssertionError(f"fan-out of {node.name}: {tuple(result.shape)} is not {tuple(output.shape)}")
    return result


def _summed(counts: Tensor, args: Any, kwargs: Any) -> Tensor:
    settings = dict(zip(("dim", "keepdim"), args, strict=False)) | {
        {"axis": "dim"}.get(key, key): value
        for key, value in kwargs.items()
        if key in ("dim", "axis", "keepdim")
    }
    total: Tensor = counts.sum(**settings)
    return total


def _touches(operation: Callable[..., Any], counts: Tensor, args: Any, kwargs: Any, axis: int) -> Tensor:
    """Which outputs each input position has a weight in, along one axis: [n_in, n_out] of 0 and 1."""
    n = counts.shape[axis]
    # The other axes keep their size, so that windows fit and sizes given by the caller stay right.
    at_once = max(1, _PROBE // max(counts[0, 0].numel(), 1))
    found = []
    for basis in torch.eye(n, dtype=counts.dtype, device=counts.device).split(at_once):
        shape = [1, len(basis), *[1] * (counts.ndim - 2)]
        shape[axis] = n
        sizes = [1, len(basis), *counts.shape[2:]]
        probe = basis.reshape(shape).expand(sizes)
        inputs, named = ((probe, *args[1:]), kwargs) if args else ((), {**kwargs, "input": probe})
        with torch.no_grad():
            result = operation(*inputs, **named)
        rest = [i - 1 for i in range(2, counts.ndim) if i != axis]
        found.append(result[0].abs().amax(rest) if rest else result[0].abs())
    return torch.cat(found) > 0
