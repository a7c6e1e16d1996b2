"""Layers that are called as functions, F.conv2d(x, self.weight), written as modules.

Batch norms fold into modules, and kernels run them. A border of zeros around what a convolution reads becomes
its own padding, where it is as wide on both sides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from conversion.graph.nodes import attribute

_CONVOLUTIONS: dict[Any, type[nn.Module]] = {
    **dict.fromkeys((F.conv1d, torch.conv1d), nn.Conv1d),
    **dict.fromkeys((F.conv2d, torch.conv2d), nn.Conv2d),
    **dict.fromkeys((F.conv3d, torch.conv3d), nn.Conv3d),
}
_SETTINGS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")


def as_modules(captured: fx.GraphModule) -> None:
    """Let modules do what functions with parameters of their own do; those that share parameters stay."""
    reads = Counter(str(node.target) for node in captured.graph.nodes if node.op == "get_attr")
    called = {str(node.target) for node in captured.graph.nodes if node.op == "call_module"}
    for node in list(captured.graph.nodes):
        if node.op != "call_function" or (node.target not in _CONVOLUTIONS and node.target is not F.linear):
            continue
        given: dict[str, Any] = dict(zip(_SETTINGS, node.args, strict=False)) | node.kwargs
        parameters = [given[name] for name in ("weight", "bias") if given.get(name) is not None]
        settings = [value for name, value in given.items() if name not in _SETTINGS[:3]]
        if not isinstance(given.get("input"), fx.Node) or not _are_plain(settings):
            continue
        if not all(_is_own(parameter, reads, called) for parameter in parameters):
            continue
        if node.target is F.linear and attribute(captured, str(given["weight"].target)).ndim != 2:
            continue  # a vector as weight: the outputs have no axis of their own
        layer = _layer(captured, node, given)
        path = _place(captured, node, parameters, reads, called)
        captured.add_submodule(path, layer)
        with captured.graph.inserting_before(node):
            call = captured.graph.call_module(path, (given["input"],))
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
        for gone in (node, *parameters):
            captured.graph.erase_node(gone)
    _take_over_borders(captured)


def _are_plain(settings: Sequence[Any]) -> bool:
    """True where no setting is computed."""
    return all(isinstance(each, int | str) for value in settings for each in _each(value))


def _each(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _is_own(parameter: Any, reads: Counter[str], called: set[str]) -> bool:
    """True for a parameter that this one operation reads, and no module that is called."""
    if not isinstance(parameter, fx.Node) or parameter.op != "get_attr":
        return False
    target = str(parameter.target)
    if any(target.startswith(f"{module}.") for module in called):
        return False
    return len(parameter.users) == 1 and reads[str(parameter.target)] == 1


def _layer(captured: fx.GraphModule, node: fx.Node, given: dict[str, Any]) -> nn.Module:
    """A module of the same function, which holds the same parameters."""
    weight: Tensor = attribute(captured, str(given["weight"].target))
    bias = None if given.get("bias") is None else attribute(captured, str(given["bias"].target))
    if node.target is F.linear:
        layer: Any = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    else:
        groups = given.get("groups", 1)
        layer = _CONVOLUTIONS[node.target](
            weight.shape[1] * groups,
            weight.shape[0],
            tuple(weight.shape[2:]),
            **{name: _plain(given[name]) for name in ("stride", "padding", "dilation") if name in given},
            groups=groups,
            bias=bias is not None,
            device="meta",
        )
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    finished: nn.Module = layer.eval()
    return finished


def _plain(setting: Any) -> Any:
    """A setting without the immutable lists of a graph; one number for all axes stays one."""
    if not isinstance(setting, list | tuple):
        return setting
    return setting[0] if len(setting) == 1 else tuple(setting)


def _place(
    captured: fx.GraphModule, node: fx.Node, parameters: list[Any], reads: Counter[str], called: set[str]
) -> str:
    """Path of the module that owns the parameters, where nothing else of it is read; else one of its own."""
    owner = str(parameters[0].target).rpartition(".")[0]
    mine = {str(parameter.target) for parameter in parameters}
    inside = {target for target in reads if target.startswith(f"{owner}.")}
    if owner and inside == mine and not any(module.startswith(f"{owner}.") for module in called):
        return owner
    name = node.name
    while hasattr(captured, name):
        name += "_"
    return name


def _take_over_borders(captured: fx.GraphModule) -> None:
    """Pad in the convolution what is padded with zeros before it, as much on both sides, for it alone."""
    calls = Counter(str(node.target) for node in captured.graph.nodes if node.op == "call_module")
    for node in list(captured.graph.nodes):
        if node.op != "call_module" or calls[str(node.target)] > 1:
            continue
        layer: Any = captured.get_submodule(str(node.target))
        border = node.args[0] if node.args else None
        if (
            not isinstance(layer, nn.Conv2d)
            or layer.padding_mode != "zeros"
            or isinstance(layer.padding, str)
        ):
            continue
        if not isinstance(border, fx.Node) or border.target is not F.pad or len(border.users) > 1:
            continue
        names = ("input", "pad", "mode", "value")
        given: dict[str, Any] = dict(zip(names, border.args, strict=False)) | border.kwargs
        sides = given["pad"]
        if given.get("mode", "constant") != "constant" or given.get("value") or len(_each(sides)) != 4:
            continue
        if not all(isinstance(side, int) and side >= 0 for side in sides):
            continue
        if sides[0] != sides[1] or sides[2] != sides[3]:
            continue
        layer.padding = (layer.padding[0] + sides[2], layer.padding[1] + sides[0])
        layer._reversed_padding_repeated_twice = [layer.padding[1]] * 2 + [layer.padding[0]] * 2
        node.args = (given["input"], *node.args[1:])
        captured.graph.erase_node(border)
