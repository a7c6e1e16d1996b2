"""Parameters of activations that a network keeps as tensors, such as a learned bound, as numbers.

PACT clamps at a parameter; others learn a slope and pass it by `item()`. In a trained network these are
constants. Bounds that differ from channel to channel are a minimum and a maximum of two values.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from conversion.graph.nodes import Adding, attribute
from conversion.graph.operations import FUNCTIONS, METHODS, OUT_OF_PLACE, Kind
from conversion.graph.refusal import argument

_CLAMPS = (torch.clamp, torch.clip, "clamp", "clip")
_ONE_BOUND = {torch.clamp_min: 1, "clamp_min": 1, torch.clamp_max: 2, "clamp_max": 2}


class _Varies(Exception):
    """A value that depends on images, or on their size."""


def write_numbers(captured: fx.GraphModule, signals: set[fx.Node]) -> None:
    """Rewrite a graph in place.

    Args:
        captured: graph of a network.
        signals: values that depend on images.
    """
    for node in list(captured.graph.nodes):
        if node not in signals or not _is_activation(node):
            continue
        try:
            given = {
                source: _value(captured, source) for source in node.all_input_nodes if source not in signals
            }
        except _Varies:
            continue
        several = [value for value in given.values() if isinstance(value, Tensor) and value.numel() != 1]
        clamps = node.target in _CLAMPS or node.target in _ONE_BOUND
        if clamps and (several or sum(source in signals for source in node.all_input_nodes) > 1):
            signals.add(_between(captured, node))
        elif given and not several:

            def number(source: fx.Node, given: dict[fx.Node, Any] = given) -> Any:
                value = given.get(source, source)
                return value.item() if isinstance(value, Tensor) else value

            node.args, node.kwargs = fx.map_arg((node.args, node.kwargs), number)


def _is_activation(node: fx.Node) -> bool:
    table: Any = METHODS if node.op == "call_method" else FUNCTIONS
    return node.op in ("call_method", "call_function") and table.get(node.target) is Kind.NEURON


def _between(captured: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Write a clamp by tensors as a maximum and a minimum."""
    add = Adding(node)
    result: Any = argument(node, "input", 0)
    low, high = (argument(node, name, at) for name, at in (("min", 1), ("max", 2)))
    if node.target in _ONE_BOUND:
        bound = argument(node, "min" if _ONE_BOUND[node.target] == 1 else "max", 1)
        low, high = (bound, None) if _ONE_BOUND[node.target] == 1 else (None, bound)
    for bound, function in ((low, torch.maximum), (high, torch.minimum)):
        if bound is not None:
            result = add.function(function, result, bound)
    node.replace_all_uses_with(result)
    captured.graph.erase_node(node)
    made: fx.Node = result
    return made


def _value(captured: fx.GraphModule, node: fx.Node) -> Any:
    """Value of a constant of the graph.

    Raises:
        _Varies: it is none.
    """
    if node.op == "placeholder":
        raise _Varies
    if node.op == "get_attr":
        return attribute(captured, str(node.target))
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: _value(captured, source))
    if node.op == "call_module":
        return captured.get_submodule(str(node.target))(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(OUT_OF_PLACE.get(node.target, node.target)))(*args[1:], **kwargs)
    return node.target(*args, **kwargs)  # type: ignore[operator]
