"""Images in the first axis for neurons and linear layers, where a network keeps them in another.

Transformers with sequences first hold values of shape [N, B, E]. What works on single values or on the
last axis does not mind, but time is folded into the first axis. So the images move there and back, around
each layer with weights and each layer of neurons. Constants with one entry for each image become one
that serves all of them where they meet weights, or where their images are on another axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from conversion.graph.batch_axis import check_batch_axis
from conversion.graph.layout import Layout, find_layout
from conversion.graph.nodes import stand_for
from conversion.graph.operations import METHODS, Kind
from conversion.graph.refusal import Refusal
from conversion.graph.tracing import IMAGE_SIZE

_ON_LAST_AXIS = (F.linear, torch.matmul)
_RESHAPES = ("view", "reshape", torch.reshape)


def bring_images_first(captured: fx.GraphModule, kinds: Mapping[fx.Node, Kind], images: Tensor) -> None:
    """Rewrite a graph in place.

    Args:
        captured: graph of a network.
        kinds: part of every operation on a signal that has one.
        images: what the network takes, [B, ...].
    """
    if not any(_may_move(captured, node, kinds) for node in captured.graph.nodes):
        return
    layout = find_layout(captured, images)
    if not layout.moved and not layout.batched:
        return
    _serve_all(captured, kinds, layout, images)
    first: dict[fx.Node, fx.Node] = {}  # value -> the same with its images in the first axis
    axes = dict(layout.axes)
    for node in list(captured.graph.nodes):
        if _works_on_last_axis(captured, node, kinds) and node.all_input_nodes[0] in axes:
            _turn(node, axes, first)
    captured.graph.eliminate_dead_code()
    captured.graph.lint()
    captured.recompile()


def _may_move(captured: fx.GraphModule, node: fx.Node, kinds: Mapping[fx.Node, Kind]) -> bool:
    """True for operations that may move images to another axis, or make one constant for each."""
    if node.op in ("placeholder", "output", "get_attr"):
        return False
    if node not in kinds:
        return node.target in ("expand", "repeat", "new_zeros", "new_ones") or _is_factory(node)
    if node.target in _RESHAPES:
        sizes = node.args[1] if isinstance(node.args[1], list | tuple) else node.args[1:]
        return isinstance(sizes[0], int) and sizes[0] != -1
    try:
        check_batch_axis(captured, node, str(getattr(node.target, "__name__", node.target)))
    except Refusal:
        return True
    return False


def _is_factory(node: fx.Node) -> bool:
    return node.target in (torch.zeros, torch.ones, torch.full)


def _works_on_last_axis(captured: fx.GraphModule, node: fx.Node, kinds: Mapping[fx.Node, Kind]) -> bool:
    """True for neurons, and for layers with weights that sum over the last axis."""
    kind = kinds.get(node)
    if kind is Kind.NEURON:
        module = captured.get_submodule(str(node.target)) if node.op == "call_module" else None
        return not isinstance(module, nn.PReLU) and len(node.all_input_nodes) == 1
    if kind is not Kind.WEIGHTED:
        return False
    if node.op == "call_module":
        return isinstance(captured.get_submodule(str(node.target)), nn.Linear)
    return node.target in _ON_LAST_AXIS or node.target == "matmul"


def _turn(node: fx.Node, axes: dict[fx.Node, int], first: dict[fx.Node, fx.Node]) -> None:
    """Let an operation read and give values whose images are in the first axis."""
    graph, source = node.graph, node.all_input_nodes[0]
    axis = axes[source]
    if source not in first:
        with graph.inserting_after(source):
            first[source] = stand_for(graph.call_method("movedim", (source, axis, 0)), node)
    node.replace_input_with(source, first[source])
    with graph.inserting_after(node):
        back = stand_for(graph.call_method("movedim", (node, 0, axis)), node)
    node.replace_all_uses_with(back, delete_user_cb=lambda user: user is not back)
    first[back], axes[back] = node, axis


def _serve_all(
    captured: fx.GraphModule, kinds: Mapping[fx.Node, Kind], layout: Layout, images: Tensor
) -> None:
    """Put one constant for all images in the place of one for each, where that is needed."""
    wanted: dict[fx.Node, list[fx.Node]] = {}
    for node in captured.graph.nodes:
        if node not in kinds or kinds[node] is Kind.SHAPE:
            continue
        for source in node.all_input_nodes:
            if source in layout.constant and source not in kinds and _is_needed(kinds[node], source, layout):
                wanted.setdefault(source, []).append(node)
    if not wanted:
        return
    values = _values(captured, images[:1], set(wanted))
    for number, (constant, readers) in enumerate(wanted.items()):
        name = f"constant_for_all_images_{number}"
        captured.register_buffer(name, values[constant])
        with captured.graph.inserting_after(constant):
            one = stand_for(captured.graph.get_attr(name), constant)
        for reader in readers:
            reader.replace_input_with(constant, one)
        if _depends_on_size(constant):
            captured.meta[IMAGE_SIZE] = tuple(images.shape[1:])


def _is_needed(kind: Kind, constant: fx.Node, layout: Layout) -> bool:
    return kind is Kind.WEIGHTED or (
        constant in layout.moved and kind in (Kind.SUM, Kind.SCALE, Kind.FUNCTION)
    )


def _depends_on_size(constant: fx.Node) -> bool:
    """True where a constant depends on more of the images' size than on how many there are."""
    pending, seen = [constant], set[fx.Node]()
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        asks = node.target is getattr or METHODS.get(str(node.target)) is Kind.SHAPE
        if not asks:
            pending += node.all_input_nodes
        elif node.target in ("size",) and node.args[1:] == (0,):
            continue
        elif any(user.args[1:] != (0,) for user in node.users if user in seen or user is constant):
            return True
    return False


def _values(captured: fx.GraphModule, images: Tensor, wanted: set[fx.Node]) -> dict[fx.Node, Tensor]:
    found: dict[fx.Node, Any] = {}

    class Run(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if n in wanted:
                found[n] = value.detach().clone()
            return value

    with torch.no_grad():
        captured.recompile()
        Run(captured).run(images.clone())
    return found
