"""Why an operation has no role, and how its arguments are read to find out."""

from __future__ import annotations

from typing import Any

from torch import fx

from conversion.errors import Unsupported
from conversion.graph.nodes import module_path, source_line
from conversion.graph.operations import advice_for


class Refusal(Exception):
    """Why an operation has no role: (what it is called, what to do instead)."""

    def __init__(self, operation: str, advice: str | None = None) -> None:
        super().__init__(operation)
        self.operation = operation
        self.advice = advice or advice_for(operation)
        self.node: fx.Node | None = None  # where it is, if not where it was found out

    def at(self, node: fx.Node) -> Unsupported:
        """The line of the error."""
        node = self.node or node
        return Unsupported(self.operation, module_path(node), source_line(node), self.advice)


def argument(node: fx.Node, name: str, position: int | None, default: Any = None) -> Any:
    """An argument of a call, by keyword or position."""
    if name in node.kwargs:
        return node.kwargs[name]
    if position is not None and len(node.args) > position:
        return node.args[position]
    return default
