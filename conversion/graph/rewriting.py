"""Rewrite operations without a role of their own as operations that have one.

* ``x.data`` is x.
* A max pooling with indices and its unpooling are a plain pool and a function of two signals.
* The maximum over axes (`amax`, the values of `max`) is max pooling over all of them, but for the first axis.
* Neurons on a tensor [B] get an axis of channels: [B, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from conversion.graph.nodes import stand_for
from conversion.graph.operations import FUNCTIONS, METHODS, NEURON_MODULES, Kind
from conversion.graph.refusal import argument
from conversion.graph.tracing import IMAGE_SIZE
from conversion.graph.unpooling import join_pools_and_unpools

_WITH_PLACES = (torch.max, "max")
_MAXIMA = (torch.amax, "amax", *_WITH_PLACES)
# The maximum of two signals has two names.
_OF_TWO = {torch.max: torch.maximum, "max": torch.maximum, torch.min: torch.minimum, "min": torch.minimum}
_POOLS = {3: F.adaptive_max_pool1d, 4: F.adaptive_max_pool2d, 5: F.adaptive_max_pool3d}


def rewrite(captured: fx.GraphModule, images: Tensor | None = None) -> None:
    """Rewrite a graph in place; what needs the shapes of values only where `images` [B, ...] are given."""
    for node in list(captured.graph.nodes):
        if node.target is getattr and node.args[1] == "data":
            node.replace_all_uses_with(node.args[0])
            captured.graph.erase_node(node)
    join_pools_and_unpools(captured)
    for node in list(captured.graph.nodes):
        if node.target in _OF_TWO and len(node.all_input_nodes) == 2 == len(node.args) and not node.kwargs:
            node.op, node.target = "call_function", _OF_TWO[node.target]
    if images is not None and any(_is_rewritten(captured, node) for node in captured.graph.nodes):
        shapes = shapes_of(captured, images[:1])
        for node in list(captured.graph.nodes):
            shape = shapes.get(node)
            if shape is not None and _is_neuron(captured, node) and len(shape) == 1:
                _add_channels(captured.graph, node)
            elif node.target in _MAXIMA and _pool(captured.graph, node, shapes):
                captured.meta[IMAGE_SIZE] = tuple(images.shape[1:])
    for node in list(captured.graph.nodes):
        if node.target in _WITH_PLACES:
            _largest_alone(captured.graph, node)
    captured.recompile()


def _largest_alone(graph: fx.Graph, node: fx.Node) -> None:
    """Write what no pool could do, as along the first axis, as `torch.amax`, where no place is read."""
    readers = _readers_of_values(node)
    if readers is None or not isinstance(argument(node, "dim", 1), int):
        return
    with graph.inserting_before(node):
        largest = stand_for(graph.call_function(torch.amax, node.args, dict(node.kwargs)), node)
    for reader in readers:
        reader.replace_all_uses_with(largest)
        graph.erase_node(reader)
    graph.erase_node(node)


def shapes_of(captured: fx.GraphModule, images: Tensor) -> dict[fx.Node, torch.Size]:
    """Shape of every tensor of a graph, for these images."""
    return _Shapes(captured).of(images)


class _Shapes(fx.Interpreter):
    """Shape of every tensor of a graph."""

    def of(self, images: Tensor) -> dict[fx.Node, torch.Size]:
        """Shapes for these images."""
        self._found: dict[fx.Node, torch.Size] = {}
        with torch.no_grad():
            self.run(images.clone())
        return self._found

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self._found[n] = value.shape
        return value


def _is_rewritten(captured: fx.GraphModule, node: fx.Node) -> bool:
    return node.target in _MAXIMA or _is_neuron(captured, node)


def _is_neuron(captured: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(captured.get_submodule(str(node.target)), NEURON_MODULES)
    table: Any = METHODS if node.op == "call_method" else FUNCTIONS
    return node.op in ("call_method", "call_function") and table.get(node.target) is Kind.NEURON


def _add_channels(graph: fx.Graph, node: fx.Node) -> None:
    """relu(x) on [B] becomes relu(x[:, None])[:, 0]."""
    (source,) = [arg for arg in (*node.args, *node.kwargs.values()) if isinstance(arg, fx.Node)][:1]
    readers = list(node.users)
    with graph.inserting_before(node):
        wide = stand_for(graph.call_method("unsqueeze", (source, 1)), node)
    node.replace_input_with(source, wide)
    with graph.inserting_after(node):
        narrow = stand_for(graph.call_method("squeeze", (node, 1)), node)
    for reader in readers:
        reader.replace_input_with(node, narrow)


def _pool(graph: fx.Graph, node: fx.Node, shapes: dict[fx.Node, torch.Size]) -> bool:
    """The largest value along axes as adaptive max pooling; left as it is where that is something else.

    Returns:
        True if the graph now holds for images of this size alone.
    """
    names = ("input", "dim", "keepdim")
    values: dict[str, Any] = dict(zip(names, node.args, strict=False)) | {
        {"axis": "dim"}.get(key, key): value for key, value in node.kwargs.items()
    }
    source, axes = values.pop("input", None), values.pop("dim", None)
    keep = bool(values.pop("keepdim", False))
    if not isinstance(source, fx.Node) or source not in shapes or axes is None or values:
        return False
    shape = shapes[source]
    axes = [axes] if isinstance(axes, int) else axes
    if not isinstance(axes, Sequence) or not all(isinstance(axis, int) for axis in axes):
        return False
    axes = sorted({axis % len(shape) for axis in axes})
    readers = [node] if "amax" in _name(node) else _readers_of_values(node)
    if not axes or 0 in axes or readers is None:
        return False
    with graph.inserting_before(node):
        result, is_sized = _pooled(graph, source, shape, axes, keep)
    inserted = result
    while inserted is not source:  # all of them come from the same line of the network
        stand_for(inserted, node)
        inserted = inserted.all_input_nodes[0]
    for reader in readers:
        reader.replace_all_uses_with(result)
        graph.erase_node(reader)
    if readers != [node]:
        graph.erase_node(node)
    return is_sized


def _name(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def _readers_of_values(node: fx.Node) -> list[fx.Node] | None:
    """Operations that read x.max(dim).values or x.max(dim)[0]; None if something else of it is read."""
    readers = list(node.users)
    if all(
        reader.op == "call_function" and len(reader.args) > 1 and reader.args[1] in ("values", 0)
        for reader in readers
    ):
        return readers
    return None


def _pooled(
    graph: fx.Graph, source: fx.Node, shape: torch.Size, axes: list[int], keep: bool
) -> tuple[fx.Node, bool]:
    """Largest values, and whether the graph now holds for images of this size alone."""
    others = [axis for axis in range(1, len(shape)) if axis not in axes]
    if axes == list(range(2, len(shape))) and len(shape) in _POOLS:  # over all of space
        result = graph.call_function(_POOLS[len(shape)], (source, 1))
        return (result if keep else graph.call_method("flatten", (result, 1))), False
    result = source
    if axes != list(range(len(shape) - len(axes), len(shape))):
        result = graph.call_method("permute", (result, 0, *others, *axes))
    if len(axes) > 1:
        result = graph.call_method("flatten", (result, 1 + len(others)))
    if not others:
        result = graph.call_method("unsqueeze", (result, 1))
    elif len(others) > 1:
        result = graph.call_method("flatten", (result, 1, len(others)))
    result = graph.call_function(F.adaptive_max_pool1d, (result, 1))
    if len(others) == 1:
        result = graph.call_method("squeeze", (result, 2))
    elif not others:
        result = graph.call_method("squeeze", (graph.call_method("squeeze", (result, 2)), 1))
    else:
        result = graph.call_method("squeeze", (result, 2))
        result = graph.call_method("unflatten", (result, 1, tuple(shape[axis] for axis in others)))
    if keep:
        for axis in axes:
            result = graph.call_method("unsqueeze", (result, axis))
    return result, len(others) > 1
