"""Captured graphs as plain data: what each operation is called, what it reads, and where it comes from.

torch.fx makes Python code of a graph, so every name that may get into that code is checked here.
"""

from __future__ import annotations

import re
from typing import Any

from torch import fx

from conversion.graph.names import attributes, methods
from conversion.graph.plain import CannotStore, Reader, Writer
from conversion.graph.records import Captured, Named, Record, captured_of, records_of
from conversion.saving.modules import ModuleReader, ModuleWriter, check_name

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def written(captured: fx.GraphModule, writer: Writer, modules: ModuleWriter) -> dict[str, Any]:
    """Plain form of a graph.

    Raises:
        CannotStore: an operation has none; names it.
    """
    operations: list[dict[str, Any]] = []
    for record in records_of(captured.graph):
        _check_storable(record)
        try:
            args, kwargs = writer.value(record.args), writer.value(record.kwargs)
        except CannotStore as error:
            raise CannotStore(f"an argument of operation '{record.name}', {error}") from None
        target = record.target.name if isinstance(record.target, Named) else record.target
        operations.append(
            {
                "op": record.op,
                "target": target,
                "args": args,
                "kwargs": kwargs,
                "name": record.name,
                "source": record.source,
                "modules": list(record.modules),
            }
        )
    read = {str(r.target).partition(".")[0] for r in records_of(captured.graph) if r.op == "get_attr"}
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
    records = []
    for entry in data["operations"]:
        op, target = entry["op"], entry["target"]
        if op == "call_function":
            target = plain.value({"$function": target})
        args, kwargs = plain.value(entry["args"]), plain.value(entry["kwargs"])
        paths = tuple(str(path) for path in entry["modules"])
        source = None if entry["source"] is None else str(entry["source"])
        record = Record(op, target, args, kwargs, entry["name"], source, paths)
        _check_safe(record)
        records.append(record)
    return captured_of(records, lambda root: modules.fill(root, data["root"]), reader.value(data["meta"]))


def _check_storable(record: Record) -> None:
    if record.op == "call_function" and not isinstance(record.target, Named):
        target = record.target
        name = f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', target)}"
        if hasattr(target, "_fields"):
            raise CannotStore(
                f"the named tuple {name}, a class of the network's own code; give outputs as a tuple or a "
                "dictionary, or pickle the network with torch.save"
            )
        raise CannotStore(f"the function {name} of operation '{record.name}'")
    try:
        _check_safe(record)
    except ValueError as error:
        raise CannotStore(str(error)) from None


def _check_safe(record: Record) -> None:
    """Refuse what would be more than a computation on tensors."""
    op, target = record.op, record.target
    if not isinstance(record.kwargs, dict) or type(record.args) is not tuple:
        raise ValueError(f"the arguments of operation {record.name!r}")
    for key in record.kwargs:
        if not isinstance(key, str) or not _NAME.fullmatch(key):
            raise ValueError(f"the argument {key!r} of operation {record.name!r}")
    if op == "call_function":
        asks = isinstance(target, Named) and target.name == "builtins.getattr"
        if asks and (len(record.args) < 2 or record.args[1] not in attributes()):
            raise ValueError(f"the attribute {list(record.args[1:])} of operation {record.name!r}")
        return
    if not isinstance(target, str):
        raise ValueError(f"the target {target!r} of operation {record.name!r}")
    if op in ("call_module", "get_attr"):
        for part in target.split("."):
            check_name(part)
    elif not _NAME.fullmatch(target):
        raise ValueError(f"the target {target!r} of operation {record.name!r}")
    if op == "call_method" and target not in methods():
        raise ValueError(f"the method .{target}() of operation {record.name!r}")
