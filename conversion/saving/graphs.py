"""Captured graphs as plain data: what each operation is called, what it reads, and where it comes from.

torch.fx makes Python code of a graph, so every name that may get into that code is checked here.
"""

from __future__ import annotations

import re
from typing import Any

from torch import fx

from conversion.graph.names import attributes, methods
from conversion.graph.plain import CannotStore, Reader, Writer
from conversion.graph.plain_nodes import Captured, Named, PlainNode, captured_of, plain_nodes_of
from conversion.saving.modules import ModuleReader, ModuleWriter, check_name

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def written(captured: fx.GraphModule, writer: Writer, modules: ModuleWriter) -> dict[str, Any]:
    """Plain form of a graph.

    Raises:
        CannotStore: an operation has none; names it.
    """
    operations: list[dict[str, Any]] = []
    for node in plain_nodes_of(captured.graph):
        _check_storable(node)
        try:
            args, kwargs = writer.value(node.args), writer.value(node.kwargs)
        except CannotStore as error:
            raise CannotStore(f"an argument of operation '{node.name}', {error}") from None
        target = node.target.name if isinstance(node.target, Named) else node.target
        operations.append(
            {
                "op": node.op,
                "target": target,
                "args": args,
                "kwargs": kwargs,
                "name": node.name,
                "source": node.source,
                "modules": list(node.modules),
            }
        )
    read = {str(r.target).partition(".")[0] for r in plain_nodes_of(captured.graph) if r.op == "get_attr"}
    held = {*captured._parameters, *captured._buffers, *captured._modules}
    settings = {name: getattr(captured, name) for name in sorted(read - held)}
    return {
        "operations": operations,
        "root": modules.content(captured, "", settings),
        "meta": writer.value(dict(captured.meta)),
    }


def read(data: dict[str, Any], reader: Reader, modules: ModuleReader) -> Captured:
    """Graph of its plain form.

    Raises:
        ValueError: the data are of no graph that is safe to run.
    """
    plain = Reader([], reader.device)  # no tensors in arguments: weights are attributes
    nodes = []
    for entry in data["operations"]:
        op, target = entry["op"], entry["target"]
        if op == "call_function":
            target = plain.value({"$function": target})
        args, kwargs = plain.value(entry["args"]), plain.value(entry["kwargs"])
        paths = tuple(str(path) for path in entry["modules"])
        source = None if entry["source"] is None else str(entry["source"])
        node = PlainNode(op, target, args, kwargs, entry["name"], source, paths)
        _check_safe(node)
        nodes.append(node)
    return captured_of(nodes, lambda root: modules.fill(root, data["root"]), reader.value(data["meta"]))


def _check_storable(node: PlainNode) -> None:
    if node.op == "call_function" and not isinstance(node.target, Named):
        target = node.target
        name = f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', target)}"
        if hasattr(target, "_fields"):
            raise CannotStore(
                f"the named tuple {name}, a class of the network's own code; give outputs as a tuple or a "
                "dictionary, or pickle the network with torch.save"
            )
        raise CannotStore(f"the function {name} of operation '{node.name}'")
    try:
        _check_safe(node)
    except ValueError as error:
        raise CannotStore(str(error)) from None


def _check_safe(node: PlainNode) -> None:
    """Refuse what would be more than a computation on tensors."""
    op, target = node.op, node.target
    if not isinstance(node.kwargs, dict) or type(node.args) is not tuple:
        raise ValueError(f"the arguments of operation {node.name!r}")
    for key in node.kwargs:
        if not isinstance(key, str) or not _NAME.fullmatch(key):
            raise ValueError(f"the argument {key!r} of operation {node.name!r}")
    if op == "call_function":
        asks = isinstance(target, Named) and target.name == "builtins.getattr"
        if asks and (len(node.args) < 2 or node.args[1] not in attributes()):
            raise ValueError(f"the attribute {list(node.args[1:])} of operation {node.name!r}")
        return
    if not isinstance(target, str):
        raise ValueError(f"the target {target!r} of operation {node.name!r}")
    if op in ("call_module", "get_attr"):
        for part in target.split("."):
            check_name(part)
    elif not _NAME.fullmatch(target):
        raise ValueError(f"the target {target!r} of operation {node.name!r}")
    if op == "call_method" and target not in methods():
        raise ValueError(f"the method .{target}() of operation {node.name!r}")
