"""Several values in one batch, one behind the other, as the values of each image side by side.

Two views of an image often share a network in one pass: `a, b = f(torch.cat([a, b])).chunk(2)`. The batch
then holds all first views, then all second ones. Where it is divided into these again, the order of its rows
is nobody's business: here, views of one image follow each other, so that images stay in the first axis.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from conversion.graph.nodes import Adding
from conversion.graph.operations import METHODS, Kind
from conversion.graph.refusal import argument

_JOINS = (torch.cat, torch.concat, torch.concatenate)
_BY_NUMBER = (torch.chunk, "chunk", torch.tensor_split, "tensor_split")  # of parts
_BY_SIZE = (torch.split, torch.functional.split, "split")


def put_side_by_side(captured: fx.GraphModule) -> None:
    """Rewrite a graph in place."""
    for node in list(captured.graph.nodes):
        if node.target not in _JOINS or argument(node, "dim", 1, 0) != 0:
            continue
        parts = argument(node, "tensors", 0)
        if not isinstance(parts, list | tuple) or len(parts) < 2:
            continue
        divided = _divided(node, len(parts))
        if divided is None:
            continue
        add = Adding(node)
        joined = add.method("flatten", add.function(torch.stack, list(parts), 1), 0, 1)
        node.replace_all_uses_with(joined)
        captured.graph.erase_node(node)
        for reader, place in divided:
            _select(reader, place, len(parts))
    captured.graph.eliminate_dead_code()


def _divided(node: fx.Node, count: int) -> list[tuple[fx.Node, int]] | None:
    """Which operations read single parts of the batch behind a value, and which parts.

    Returns:
        None where the batch as a whole reaches an output, or is divided in another way.
    """
    found: list[tuple[fx.Node, int]] = []
    pending, seen = [node], set[fx.Node]()
    while pending:
        for user in pending.pop().users:
            if user in seen or _asks_for_sizes(user):
                continue
            seen.add(user)
            place = _place(user, count)
            if user.op == "output":
                return None
            if place is not None:
                found.append((user, place))
            elif _divides(user, count):
                for reader in user.users:
                    if reader.target is not operator.getitem or not isinstance(reader.args[1], int):
                        return None
                    found.append((reader, reader.args[1] % count))
            else:
                pending.append(user)
    return found or None


def _asks_for_sizes(node: Any) -> bool:
    if node.target is getattr:
        return bool(node.args[1] == "shape")
    return METHODS.get(str(node.target)) is Kind.SHAPE


def _divides(node: fx.Node, count: int) -> bool:
    """True for a division of the batch into all its parts."""
    if node.target not in (*_BY_NUMBER, *_BY_SIZE) or argument(node, "dim", 2, 0) != 0:
        return False
    how: Any = node.args[1] if len(node.args) > 1 else None
    if node.target in _BY_NUMBER:
        return isinstance(how, int) and how == count
    if isinstance(how, list | tuple):
        return len(how) == count and all(map(_is_batch_size, how))
    return _is_batch_size(how)


def _place(node: fx.Node, count: int) -> int | None:
    """Which of two parts x[:B] or x[B:] is."""
    if count != 2 or node.target is not operator.getitem:
        return None
    index: Any = node.args[1]
    if not isinstance(index, slice) or index.step is not None:
        return None
    if index.start in (None, 0) and _is_batch_size(index.stop):
        return 0
    return 1 if index.stop is None and _is_batch_size(index.start) else None


def _is_batch_size(value: Any) -> bool:
    """True for the size of a signal's first axis."""
    if not isinstance(value, fx.Node):
        return False
    if value.target == "size":
        return bool(value.args[1:] == (0,))
    first = value.target is operator.getitem and value.args[1:] == (0,)
    return first and _asks_for_sizes(value.args[0])


def _select(reader: fx.Node, place: int, count: int) -> None:
    """Let what read one part of the batch read one of the values side by side."""
    whole = reader.args[0]
    assert isinstance(whole, fx.Node)
    batch = whole.args[0] if whole.target in (*_BY_NUMBER, *_BY_SIZE) else whole
    add = Adding(reader)
    part = add.method("select", add.method("unflatten", batch, 0, (-1, count)), 1, place)
    reader.replace_all_uses_with(part)
    reader.graph.erase_node(reader)
