"""Counting rules of layers with weights, for `conversion.costs.synapses`.

A synapse is a product: an input value of a layer, times one weight, for one output. An input value that
enters an output at several taps, as at a border that is reflected, has a synapse at each. Weights that are
0 are no synapses; a dense layer multiplies with them nevertheless.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn


@dataclass(frozen=True)
class WeightedLayer:
    """A layer with weights."""

    weight: Tensor = field(repr=False)  # of a linear layer: [..., inputs, outputs]
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
    def weights(self) -> int:
        """Number of weights, without the bias; those that are 0 count."""
        return self.weight.numel()

    @property
    def taps(self) -> int:
        """Kernel positions over all output channels; 0 for a linear layer."""
        return self.outputs * math.prod(self.kernel) if self.dimensions else 0


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


def layer_of(captured: fx.GraphModule, node: fx.Node, args: Any, kwargs: Any) -> WeightedLayer:
    """The layer that a node runs."""
    if node.op == "call_module":
        return layer_of_module(captured.get_submodule(str(node.target)), args, kwargs)
    if node.op == "call_method" or node.target in (operator.matmul, torch.matmul):
        return _of_matrix(args[1] if len(args) > 1 else kwargs["other"])
    name = getattr(node.target, "__name__", "")
    if name == "linear":
        values = dict(zip(_LINEAR_ARGUMENTS, args, strict=False)) | kwargs
        return _of_matrix(values["weight"].movedim(0, -1), values.get("bias") is not None)
    dimensions, transposed = _CONVOLUTIONS[name]
    names = _TRANSPOSED_ARGUMENTS if transposed else _CONV_ARGUMENTS
    values = dict(zip(names, args, strict=False)) | kwargs
    weight, groups = values["weight"], values.get("groups", 1)
    settings = {k: values[k] for k in ("stride", "padding", "dilation", "output_padding") if k in values}
    outputs = weight.shape[1] * groups if transposed else weight.shape[0]
    inputs = weight.shape[0] if transposed else weight.shape[1] * groups
    return WeightedLayer(
        weight,
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


def _of_matrix(weight: Tensor, bias: bool = False) -> WeightedLayer:
    """A signal times a constant matrix [..., inputs, outputs] or vector [inputs]."""
    matrix = weight if weight.ndim > 1 else weight[:, None]
    return WeightedLayer(matrix, 0, matrix.shape[-1], inputs=matrix.shape[-2], bias=bias)


def layer_of_module(module: nn.Module, args: Any, kwargs: Any) -> WeightedLayer:
    """The layer that a module is, called with these arguments."""
    if isinstance(module, nn.Linear):
        return _of_matrix(module.weight.T, module.bias is not None)
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
    return WeightedLayer(
        conv.weight,
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


def output_shape(layer: WeightedLayer, counts: Tensor) -> torch.Size:
    """Shape of what a convolution gives for spikes `counts` at its input."""
    ones = counts.new_ones(1, 1, *layer.kernel)
    with torch.no_grad():
        sides = _convolve(layer, _border(layer, counts[:, :1]), ones, 1).shape[2:]
    return torch.Size((len(counts), layer.outputs, *sides))


def products(layer: WeightedLayer, counts: Tensor) -> Tensor:
    """Synaptic operations that spikes cause: each meets every weight that is not 0 at its place.

    Args:
        layer: where they arrive.
        counts: spikes at its input, [F, C, ...] or [..., inputs].

    Returns:
        Their number, differentiable.
    """
    weight = layer.weight
    if not layer.dimensions:
        if weight.ndim == 2 and bool((weight != 0).all()):
            return counts.sum() * layer.outputs
        met = (weight != 0).sum(-1).to(counts.dtype)
        return (counts * met).sum() if weight.ndim == 2 else torch.matmul(counts, met[..., None]).sum()
    # How many output channels each input channel reaches at each tap: [C, kernel].
    if layer.transposed:
        met = (weight != 0).sum(1)
    else:
        met = (weight != 0).unflatten(0, (layer.groups, -1)).sum(1).flatten(0, 1)
    met = met.to(counts.dtype)
    if bool((met == met[:1, ...]).all()):  # channels are alike: their sum is enough
        merged = _border(layer, counts.sum(1, keepdim=True))
        return _convolve(layer, merged, met[:1, None], 1).sum()
    return _convolve(layer, _border(layer, counts), met[:, None], len(met)).sum()


def _border(layer: WeightedLayer, counts: Tensor) -> Tensor:
    return counts if layer.border is None else F.pad(counts, layer.border[1], mode=layer.border[0])


def _convolve(layer: WeightedLayer, counts: Tensor, kernel: Tensor, groups: int) -> Tensor:
    """Convolution of counts [F, groups, ...] with kernels [groups, 1, ...], group by group."""
    name = f"conv_transpose{layer.dimensions}d" if layer.transposed else f"conv{layer.dimensions}d"
    result: Tensor = getattr(F, name)(counts, kernel, groups=groups, **dict(layer.settings))
    return result


def dense_macs(layer: WeightedLayer, inputs: Tensor, outputs: int) -> float:
    """Multiply-accumulates of the dense layer for one image, padding and weights of 0 included, as is usual.

    Args:
        layer: the layer.
        inputs: values that come in, for one image.
        outputs: how many values go out.
    """
    if layer.dimensions == 0:
        return float(outputs * layer.inputs)
    taps = math.prod(layer.kernel)
    if layer.transposed:
        return float(inputs.numel() * layer.outputs // layer.groups * taps)
    return float(outputs * layer.inputs // layer.groups * taps)
