"""What a single operation is in NIR, or why it has no counterpart there; for `conversion.nir.export`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from conversion.graph.nodes import attribute

Pair = tuple[int, int]

_CONV_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_POOL_ARGUMENTS = (
    "input",
    "kernel_size",
    "stride",
    "padding",
    "ceil_mode",
    "count_include_pad",
    "divisor_override",
)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_IDENTITIES = ("contiguous", "clone", "detach", "float", torch.clone, F.dropout, F.dropout2d)


class ExportRefusal(Exception):
    """Why an operation cannot be written in NIR."""


def linear_of(
    captured: fx.GraphModule, node: fx.Node, size: tuple[int, ...]
) -> tuple[Tensor, Tensor | None] | None:
    """Weight and bias of a linear layer; None for any other layer."""
    found: tuple[Tensor, Tensor | None] | None = None
    if node.op == "call_module":
        module = captured.get_submodule(str(node.target))
        if isinstance(module, nn.Linear):
            found = module.weight, module.bias
    elif node.target is F.linear:
        values = _arguments(captured, node, ("input", "weight", "bias"))
        found = values["weight"], values.get("bias")
    if found is not None and len(size) > 1:
        raise ExportRefusal("NIR's linear layers take vectors; flatten first")
    return found


def convolution_of(captured: fx.GraphModule, node: fx.Node) -> dict[str, Any]:
    """Weight, bias, stride, padding and dilation of a convolution.

    Raises:
        ExportRefusal: the convolution cannot be written, or the package nir could not read it back.
    """
    if node.op == "call_module":
        module: Any = captured.get_submodule(str(node.target))
        if not isinstance(module, nn.Conv2d):
            raise ExportRefusal("only 2-D convolutions and linear layers are exported")
        values = {name: getattr(module, name) for name in _CONV_ARGUMENTS[1:]}
        if module.padding_mode != "zeros":
            raise ExportRefusal(f"NIR pads with zeros, not with padding_mode '{module.padding_mode}'")
    elif node.target is F.conv2d:
        values = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
        values |= _arguments(captured, node, _CONV_ARGUMENTS)
    else:
        raise ExportRefusal("only 2-D convolutions and linear layers are exported")
    kernel = tuple(values["weight"].shape[2:])
    if values["groups"] != 1:
        raise ExportRefusal("nir 1.0 takes the input of a grouped convolution to have one group's channels")
    if kernel[0] != kernel[1]:
        raise ExportRefusal("nir 1.0 takes kernels to be as wide as high")
    dilation = _pair(values["dilation"])
    return {
        "weight": values["weight"],
        "bias": values["bias"],
        "stride": _pair(values["stride"]),
        "padding": _padding(values["padding"], kernel, dilation),
        "dilation": dilation,
    }


def _padding(padding: Any, kernel: tuple[int, ...], dilation: Pair) -> Pair:
    if padding == "valid":
        return (0, 0)
    if padding != "same":
        return _pair(padding)
    totals = [step * (taps - 1) for step, taps in zip(dilation, kernel, strict=True)]
    if any(total % 2 for total in totals):
        raise ExportRefusal("padding 'same' is uneven with an even kernel")
    return totals[0] // 2, totals[1] // 2


def average_window(
    captured: fx.GraphModule, node: fx.Node, size: tuple[int, ...], shape: tuple[int, ...]
) -> dict[str, Pair]:
    """Kernel, stride and padding of an average pooling over 2-D maps.

    Args:
        captured: the graph's modules.
        node: average pooling, adaptive average pooling, or a mean over both axes of the maps.
        size: shape of its input, without the batch.
        shape: shape of its output, without the batch.

    Raises:
        ExportRefusal: it is something else, or pools in a way that NIR cannot say.
    """
    module: Any = captured.get_submodule(str(node.target)) if node.op == "call_module" else None
    if len(size) == 3 and (isinstance(module, nn.AdaptiveAvgPool2d) or node.target is F.adaptive_avg_pool2d):
        return _even_windows(size, shape)
    if len(size) == 3 and node.target in (torch.mean, "mean"):
        axes = _arguments(captured, node, ("input", "dim", "keepdim")).get("dim")
        if isinstance(axes, list | tuple) and sorted(axis % 4 for axis in axes) == [2, 3]:
            return _even_windows(size, (size[0], 1, 1))
    if isinstance(module, nn.AvgPool2d):
        values = {name: getattr(module, name) for name in _POOL_ARGUMENTS[1:]}
    elif node.target is F.avg_pool2d:
        values = {"padding": 0, "ceil_mode": False, "count_include_pad": True}
        values |= _arguments(captured, node, _POOL_ARGUMENTS)
    else:
        raise ExportRefusal("NIR averages over windows of 2-D maps only")
    padding = _pair(values["padding"])
    if values["ceil_mode"] or values.get("divisor_override") is not None:
        raise ExportRefusal("NIR's average pooling has neither ceil_mode nor divisor_override")
    if padding != (0, 0) and not values["count_include_pad"]:
        raise ExportRefusal("NIR's average pooling counts padded positions")
    kernel = _pair(values["kernel_size"])
    return {"kernel_size": kernel, "stride": _pair(values.get("stride") or kernel), "padding": padding}


def _even_windows(size: tuple[int, ...], shape: tuple[int, ...]) -> dict[str, Pair]:
    if size[1] % shape[1] or size[2] % shape[2]:
        raise ExportRefusal(f"windows of adaptive pooling from {size[1:]} to {shape[1:]} differ in size")
    window = size[1] // shape[1], size[2] // shape[2]
    return {"kernel_size": window, "stride": window, "padding": (0, 0)}


def factor_of(captured: fx.GraphModule, node: fx.Node) -> float:
    """Number that an operation multiplies by."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if node.op != "call_module" and name.startswith("neg"):
        return -1.0
    numbers = [value for value in node.args if isinstance(value, int | float)]
    if node.op == "call_module" or "norm" in name:
        raise ExportRefusal("a batch norm that follows no convolution or linear layer shifts its input")
    if len(node.args) != 2 or len(numbers) != 1:
        raise ExportRefusal("only factors that are plain numbers are exported")
    return 1 / float(numbers[0]) if "div" in name else float(numbers[0])


def is_identity(captured: fx.GraphModule, node: fx.Node) -> bool:
    """True for operations that change nothing in a trained network."""
    if node.op == "call_module":
        return isinstance(captured.get_submodule(str(node.target)), (nn.Identity, *_DROPOUTS))
    return node.target in _IDENTITIES


def _arguments(captured: fx.GraphModule, node: fx.Node, names: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    for name in ("weight", "bias"):
        constant = values.get(name)
        if isinstance(constant, fx.Node):
            if constant.op != "get_attr":
                raise ExportRefusal(f"its {name} is computed in the forward")
            values[name] = attribute(captured, str(constant.target))
    return values


def _pair(value: Any) -> Pair:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return int(values[0]), int(values[-1])
