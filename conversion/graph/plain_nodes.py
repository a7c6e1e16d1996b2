"""A captured graph as a list of plain nodes, and back: for copies, and for files.

torch.fx pickles a graph as Python code and traces that code again, which loses source lines and splits
our own functions into their operations. A plain node holds one operation as it is.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from conversion.graph.names import functions, name_of_function

_OPS = ("placeholder", "get_attr", "call_function", "call_method", "call_module", "output")


@dataclass(frozen=True)
class Ref:
    """An earlier operation of the same graph, by its position."""

    index: int


@dataclass(frozen=True)
class Named:
    """A function of `conversion.graph.names`."""

    name: str


@dataclass(frozen=True)
class PlainNode:
    """One operation: the fields of a `torch.fx.Node`, without references to other nodes."""

    op: str
    target: Any  # a path or a name; of a function, `Named`, or itself where it has no name
    args: Any
    kwargs: Any
    name: str
    source: str | None = None  # lines of the network's code, innermost last
    modules: tuple[str, ...] = ()  # paths of the modules whose code it is in, innermost last


def plain_nodes_of(graph: fx.Graph) -> list[PlainNode]:
    """Operations of a graph in their order."""
    positions = {node: index for index, node in enumerate(graph.nodes)}

    def bare(value: Any) -> Any:
        return _mapped(lambda node: Ref(positions[node]), fx.Node, value)

    def plain(node: fx.Node) -> PlainNode:
        target: Any = node.target
        if node.op == "call_function":
            name = name_of_function(target)
            target = target if name is None else Named(name)
        modules = tuple(node.meta.get("nn_module_stack") or ())
        args, kwargs = bare(tuple(node.args)), bare(dict(node.kwargs))
        return PlainNode(node.op, target, args, kwargs, node.name, node.stack_trace, modules)

    return [plain(node) for node in graph.nodes]


def _mapped(function: Callable[[Any], Any], kind: type, value: Any) -> Any:
    """Arguments of an operation with `function` applied to every part of type `kind`."""
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, dict):
        return {key: _mapped(function, kind, entry) for key, entry in value.items()}
    if isinstance(value, list):  # plain; torch.fx holds immutable ones
        return [_mapped(function, kind, entry) for entry in value]
    if type(value) is tuple:
        return tuple(_mapped(function, kind, entry) for entry in value)
    if isinstance(value, slice):
        return slice(*(_mapped(function, kind, part) for part in (value.start, value.stop, value.step)))
    return value


def graph_of(plain_nodes: list[PlainNode]) -> fx.Graph:
    """Graph of plain nodes; its nodes have the names that they had.

    Raises:
        ValueError: a plain node is none of a graph.
    """
    graph = fx.Graph()
    nodes: list[fx.Node] = []

    def node_of(ref: Ref) -> fx.Node:
        if not 0 <= ref.index < len(nodes):
            raise ValueError(f"operation {len(nodes)} reads operation {ref.index}, which is not before it")
        return nodes[ref.index]

    def full(value: Any) -> Any:
        return _mapped(node_of, Ref, value)

    for plain in plain_nodes:
        if plain.op not in _OPS or not _is_name(plain.name):
            raise ValueError(f"operation {len(nodes)} is a '{plain.op}' named {plain.name!r}")
        target = plain.target
        if isinstance(target, Named):
            target = functions()[target.name]
        node = graph.create_node(plain.op, target, full(plain.args), full(plain.kwargs), plain.name)
        if node.name != plain.name:
            raise ValueError(f"two operations are named '{plain.name}'")
        node.stack_trace = plain.source
        if plain.modules:
            node.meta["nn_module_stack"] = {path: (path, "") for path in plain.modules}
        nodes.append(node)
    graph.lint()
    return graph


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and text.isidentifier() and not keyword.iskeyword(text)


_HELD = ("_parameters", "_buffers", "_modules")  # by a module


class Captured(fx.GraphModule):
    """A graph module that copies and pickles with everything that it knows of its operations."""

    def __reduce__(self) -> tuple[Any, ...]:
        held = {name: dict(self.__dict__[name]) for name in _HELD}
        others = {
            key: value
            for key, value in self.__dict__.items()
            if key in _attributes_read(self) and key not in held
        }
        return _rebuilt, (plain_nodes_of(self.graph), held, others, dict(self.meta), self.training)


def _attributes_read(captured: fx.GraphModule) -> set[str]:
    """Attributes of the module itself that its graph reads."""
    return {str(node.target).partition(".")[0] for node in captured.graph.nodes if node.op == "get_attr"}


def _rebuilt(
    plain_nodes: list[PlainNode],
    held: dict[str, Any],
    others: dict[str, Any],
    meta: dict[str, Any],
    training: bool,
) -> Captured:
    def fill(root: nn.Module) -> None:
        for name, entries in held.items():
            getattr(root, name).update(entries)
        root.__dict__.update(others)

    captured = captured_of(plain_nodes, fill, meta)
    captured.training = training
    return captured


def captured_of(
    plain_nodes: list[PlainNode], fill: Callable[[nn.Module], None], meta: dict[str, Any]
) -> Captured:
    """Graph module of plain nodes.

    Args:
        plain_nodes: operations in their order.
        fill: gives a module the weights, submodules and attributes that they read.
        meta: of the graph module.
    """
    root = nn.Module()
    fill(root)
    captured = Captured(root, graph_of(plain_nodes))
    fill(captured)  # also what no operation reads
    captured.meta.update(meta)
    return captured
