"""Helpers for single operations of a captured graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

# Code between a network's own and its operations: torch's, and ours, which traces it and writes it out.
_BETWEEN = (os.path.dirname(torch.__file__) + os.sep, os.path.dirname(os.path.dirname(__file__)) + os.sep)


def last_uses(
    graph: fx.Graph, run_by: Mapping[fx.Node, Collection[fx.Node]] | None = None
) -> dict[fx.Node, list[fx.Node]]:
    """For each node, the values that it is the last to read.

    Args:
        graph: in execution order.
        run_by: nodes that run others as part of themselves -> those others, which read their inputs
            only then.
    """
    run_by = run_by or {}
    inner = {node for others in run_by.values() for node in others}
    seen: set[fx.Node] = set()
    table: dict[fx.Node, list[fx.Node]] = {}
    for node in reversed(graph.nodes):
        if node in inner:
            continue
        for reader in (node, *run_by.get(node, ())):
            for source in reader.all_input_nodes:
                if source not in seen and source not in inner:
                    seen.add(source)
                    table.setdefault(node, []).append(source)
    return table


def attribute(module: nn.Module, path: str) -> Any:
    """Value of a dotted attribute, such as a parameter that the forward uses directly."""
    parent, _, name = path.rpartition(".")
    return getattr(module.get_submodule(parent), name)


def operation_of(captured: fx.GraphModule, node: fx.Node) -> Callable[..., Any]:
    """Callable that runs a node's operation on plain tensors."""
    if node.op == "call_module":
        return captured.get_submodule(str(node.target))
    if node.op == "call_method":
        # Layers may leave their result in another memory layout than the ANN's, where view fails.
        name = "reshape" if node.target == "view" else str(node.target)
        return lambda value, *args, **kwargs: getattr(value, name)(*args, **kwargs)
    return node.target  # type: ignore[return-value]


def shape_answer(
    node: fx.Node, shape: torch.Size, args: tuple[Any, ...], kwargs: dict[str, Any], like: Tensor
) -> Any:
    """What .size(), .dim(), .shape, .device and the like say of a value.

    Args:
        node: the operation.
        shape: of the value in one time step.
        args: further arguments of the operation.
        kwargs: its keyword arguments.
        like: the value, of any shape.
    """
    if node.target is getattr:
        known: dict[str, Any] = {"shape": shape, "ndim": len(shape)}
        return known[args[0]] if args[0] in known else getattr(like, args[0])
    if node.target in ("dim", "ndimension"):
        return len(shape)
    if node.target in ("numel", "nelement"):
        return shape.numel()
    if not (args or kwargs):
        return shape
    return shape[args[0] if args else kwargs["dim"]]


def source_line(node: fx.Node) -> str:
    """Last line of user code that created `node`, as "file:line: statement", or ""."""
    frames = [line.strip() for line in (node.stack_trace or "").splitlines() if line.strip()]
    for place, statement in zip(reversed(frames[:-1]), reversed(frames[1:]), strict=True):
        if place.startswith("File ") and not place[len('File "') :].startswith(_BETWEEN):
            file, line = place.split(",")[:2]
            return f"{file[6:-1]}:{line.strip().removeprefix('line ')}: {statement}"
    return ""


def module_path(node: fx.Node) -> str:
    """Path of the module whose code created `node`; for a module call, the module itself."""
    if node.op == "call_module":
        return str(node.target)
    stack: dict[str, Any] = node.meta.get("nn_module_stack") or {}
    return list(stack)[-1] if stack else ""


def stand_for(node: fx.Node, original: fx.Node) -> fx.Node:
    """Let an inserted operation carry the source line and module of the one that it stands for."""
    node.stack_trace = original.stack_trace
    node.meta.update({key: value for key, value in original.meta.items() if key == "nn_module_stack"})
    return node


def write_as(
    node: fx.Node,
    form: Callable[..., Any],
    stand_in: Callable[[fx.Node, fx.proxy.TracerBase], fx.Proxy] = fx.Proxy,
) -> None:
    """Put the operations that a Python function calls in the place of a node.

    Args:
        node: its arguments are those of the function.
        form: the function.
        stand_in: what it gets for a value of the graph.
    """
    graph, last = node.graph, node.prev
    tracer = fx.proxy.GraphAppendingTracer(graph)
    as_proxy: Any = lambda one: stand_in(one, tracer)  # noqa: E731
    arguments: Any = fx.map_arg((node.args, node.kwargs), as_proxy)
    with graph.inserting_before(node):
        result: Any = form(*arguments[0], **arguments[1])
    made = last.next
    while made is not node:
        stand_for(made, node)
        made = made.next
    if isinstance(result, tuple):
        for reader in list(node.users):
            place = reader.args[1]
            if not isinstance(place, int) or not isinstance(result[place], fx.Proxy):
                raise ValueError(f"{reader.format_node()} reads a value that its operation does not give")
            reader.replace_all_uses_with(result[place].node)
            graph.erase_node(reader)
    else:
        node.replace_all_uses_with(result.node)
    graph.erase_node(node)


class Adding:
    """Adds operations before a node, from the same line of the network's code."""

    def __init__(self, node: fx.Node) -> None:
        self._node = node

    def function(self, target: Callable[..., Any], *args: Any) -> fx.Node:
        """A call of a function."""
        return self._added("call_function", target, args)

    def method(self, name: str, *args: Any) -> fx.Node:
        """A call of a method of a tensor."""
        return self._added("call_method", name, args)

    def attribute(self, path: str) -> fx.Node:
        """An attribute of the network."""
        return self._added("get_attr", path, ())

    def _added(self, op: str, target: Any, args: tuple[Any, ...]) -> fx.Node:
        with self._node.graph.inserting_before(self._node):
            return stand_for(self._node.graph.create_node(op, target, args), self._node)
