"""One spelling for each operation: torch offers many, and the tables of roles shall know few.

* ``x.expand_as(y)``, ``view_as`` and ``reshape_as`` take the shape of y; ``type_as`` and ``to(y)`` its type.
* ``mm``, ``mv`` and ``bmm`` are matmul; ``hstack``, ``hsplit`` and the like are cat and tensor_split.
* The minimum over axes (the values of ``min``) is ``amin``; ``x.mT`` is a transposition.
* Comparisons of signals, and choices by them, are functions in floating point, see
  `conversion.functions.choices`.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from conversion.functions.choices import COMPARISONS, chosen, compared
from conversion.graph.nodes import stand_for
from conversion.graph.operations import ATTRIBUTES, METHODS, Kind


def spell_alike(captured: fx.GraphModule) -> None:
    """Rewrite a graph in place; nothing here needs the shapes of values."""
    truths: set[fx.Node] = set()  # what comparisons of signals give
    for node in list(captured.graph.nodes):
        spelled = _spelled(node, truths)
        if spelled is None:
            continue
        if spelled is not node:
            node.replace_all_uses_with(spelled)
            captured.graph.erase_node(node)
    captured.graph.eliminate_dead_code()
    captured.recompile()


_MATMUL = (torch.mm, torch.mv, torch.bmm, "mm", "mv", "bmm")
_LIKE = {"expand_as": "expand", "view_as": "reshape", "reshape_as": "reshape"}
_STACKS = {torch.hstack: 1, torch.dstack: 2}
_SPLITS: dict[Any, int] = {torch.hsplit: 1, torch.dsplit: 2, "hsplit": 1, "dsplit": 2}
_MINIMA = (torch.min, "min")


def _spelled(node: fx.Node, truths: set[fx.Node]) -> fx.Node | None:
    """What takes the place of a node; the node itself where it was changed; None: it stays."""
    target, args = node.target, node.args
    if node.op not in ("call_function", "call_method"):
        return None
    if target in _MATMUL and len(args) == 2 and not node.kwargs:
        node.op, node.target = "call_function", torch.matmul
        return node
    if target in _LIKE and len(args) == 2:
        return _added(node, "call_method", _LIKE[str(target)], (args[0], _asked(node, args[1], "shape")))
    if target in ("type_as", "to") and len(args) == 2 and not node.kwargs and _is_signal(args[1]):
        return _added(node, "call_method", "to", (args[0], _asked(node, args[1], "dtype")))
    if target is getattr and args[1] == "mT":
        return _added(node, "call_method", "transpose", (args[0], -2, -1))
    if target in _STACKS and not node.kwargs:
        return _added(node, "call_function", torch.cat, (args[0], _STACKS[target]))
    if target in _SPLITS and len(args) == 2:
        return _added(node, "call_function", torch.tensor_split, (*args, _SPLITS[target]))
    if target in _MINIMA:
        return _minimum(node)
    return _logical(node, truths)


def _added(node: fx.Node, op: str, target: Any, args: tuple[Any, ...]) -> fx.Node:
    """An operation before a node, from the same line of the network's code."""
    with node.graph.inserting_before(node):
        return stand_for(node.graph.create_node(op, target, args), node)


def _asked(node: fx.Node, other: Any, attribute: str) -> fx.Node:
    return _added(node, "call_function", getattr, (other, attribute))


def _minimum(node: fx.Node) -> fx.Node | None:
    """amin where only the values of a minimum along axes are read."""
    given = dict(zip(("input", "dim", "keepdim"), node.args, strict=False)) | dict(node.kwargs)
    axis, keep = given.get("dim", given.get("axis")), given.get("keepdim", False)
    values = [reader for reader in node.users if reader.op == "call_function" and len(reader.args) > 1]
    if not isinstance(axis, int) or len(values) < len(node.users):
        return None
    if any(reader.args[1] not in ("values", 0) for reader in values):
        return None
    smallest = _added(node, "call_function", torch.amin, (given["input"], axis, keep))
    for reader in values:
        reader.replace_all_uses_with(smallest)
        node.graph.erase_node(reader)
    return node if not node.users else None


def _is_signal(value: Any) -> bool:
    """True for a value of the graph that may be a tensor: not the answer to a question for a size or type."""
    if not isinstance(value, fx.Node):
        return False
    if value.target is getattr:
        return value.args[1] not in ATTRIBUTES
    return value.op != "call_method" or METHODS.get(str(value.target)) is not Kind.SHAPE


_COMPARED: dict[Any, str] = {
    name: how
    for how in COMPARISONS
    for name in (how, getattr(operator, how), getattr(torch, how), f"torch.{how}")
} | {
    name: how
    for how, long in (("gt", "greater"), ("ge", "greater_equal"), ("lt", "less"), ("le", "less_equal"))
    for name in (long, getattr(torch, long))
}
_AND = (operator.and_, torch.logical_and, "logical_and", torch.bitwise_and)
_OR = (operator.or_, torch.logical_or, "logical_or", torch.bitwise_or)
_NOT = (operator.invert, torch.logical_not, "logical_not", torch.bitwise_not)
_PASSING = (
    *("float", "double", "to", "type", "unsqueeze", "squeeze", "expand", "view", "reshape", "flatten"),
    *("permute", "transpose", "contiguous", "clone", "detach"),
)


def _logical(node: fx.Node, truths: set[fx.Node]) -> fx.Node | None:
    """Comparisons of signals, what is made of them, and choices by them."""
    target, args = node.target, node.args
    sources = list(node.all_input_nodes)
    if target in _COMPARED and len(args) == 2 and any(_depends_on_images(source) for source in sources):
        made = _added(node, "call_function", compared, (*args, _COMPARED[target]))
        truths.add(made)
        return made
    if not truths.intersection(sources):
        return None
    if target in _AND or target in _OR:
        function = torch.minimum if target in _AND else torch.maximum
        made = _added(node, "call_function", function, args)
    elif target in _NOT:
        made = _added(node, "call_function", operator.sub, (1.0, args[0]))
    elif target in (torch.where, "where") and len(args) == 3:
        by_method = node.op == "call_method"
        condition, one, two = (args[1], args[0], args[2]) if by_method else args
        return _added(node, "call_function", chosen, (condition, one, two)) if condition in truths else None
    elif target in (torch.masked_fill, "masked_fill") and len(args) == 3 and args[1] in truths:
        return _added(node, "call_function", chosen, (args[1], args[2], args[0]))
    elif node.op == "call_method" and target in _PASSING:
        truths.add(node)
        return None
    else:
        return None
    truths.add(made)
    return made


def _depends_on_images(node: fx.Node) -> bool:
    """True for a signal, not for sizes and for what is made of weights."""
    pending, seen = [node], set[fx.Node]()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.op == "placeholder":
            return True
        if _is_signal(current):
            pending += current.all_input_nodes
    return False
