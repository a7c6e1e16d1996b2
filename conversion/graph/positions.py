"""Places of values that a network only uses to fetch values: `argmax`, `sort` and `topk` before `gather`.

Places are whole numbers, and signals are not. Where all that reads a place is known, the place becomes a
number in floating point, and what fetches by it a function of it; see `conversion.functions.positions`. Where
anything else reads it, as an output does, it is left as it is, and refused by name.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from conversion.functions import positions
from conversion.graph.nodes import Adding
from conversion.graph.refusal import argument

_ALONE = {
    **dict.fromkeys((torch.argmax, "argmax"), positions.place_of_largest),
    **dict.fromkeys((torch.argmin, "argmin"), positions.place_of_smallest),
}
_BESIDE = {  # values and their places
    **dict.fromkeys((torch.max, "max"), positions.place_of_largest),
    **dict.fromkeys((torch.min, "min"), positions.place_of_smallest),
}
_SORTS = (torch.sort, "sort")
_MOST = (torch.topk, "topk")
_WHOLE = (torch.int64, torch.int32)
_MOVES = frozenset(
    {
        *("view", "reshape", "unsqueeze", "squeeze", "expand", "repeat", "flatten", "permute", "transpose"),
        *("contiguous", "clone", "detach", "unflatten"),
        *(torch.reshape, torch.unsqueeze, torch.squeeze, torch.flatten, torch.permute, torch.transpose),
    }
)
_SUMS = frozenset(
    {*(operator.add, operator.sub, operator.mul, "add", "sub", "mul"), torch.add, torch.sub, torch.mul}
)
_QUOTIENTS = (operator.floordiv, torch.floor_divide, "floor_divide")
_RESTS = (operator.mod, torch.remainder, "remainder")
_FRACTIONS = frozenset(
    {operator.truediv, torch.div, torch.true_divide, "div", "true_divide", operator.mul, "mul"}
)
_BY_PARTS = (torch.div, "div")
_GATHERS = (torch.gather, "gather")
_ALONG = (torch.take_along_dim, "take_along_dim")
_SCATTERS = (torch.scatter, "scatter")

Written = Callable[
    [], fx.Node | None
]  # puts something in the place of a reader; None: the reader itself stays


def write_places(captured: fx.GraphModule, signals: set[fx.Node]) -> None:
    """Rewrite a graph in place.

    Args:
        captured: graph of a network.
        signals: values that depend on images.
    """
    for node in list(captured.graph.nodes):
        if node in signals and node.op in ("call_function", "call_method"):
            _write(captured, node, signals)


def _write(captured: fx.GraphModule, node: fx.Node, signals: set[fx.Node]) -> None:
    """Write the places that a node gives, if all that reads them is known."""
    made = _made_by(node)
    if made is None:
        return
    sources = [node]
    if node.target not in _ALONE and not _is_argsort(node):
        sources = [reader for reader in node.users if _reads(reader, 1, "indices")]
        if any(not _reads(reader, 0, "values") for reader in node.users if reader not in sources):
            return
    places, found = set(sources), dict[fx.Node, Written]()
    pending = list(sources)
    while pending:
        for reader in pending.pop().users:
            if reader in found:
                continue
            written, still = _read_by(captured, reader, places, signals)
            if written is None:
                return
            found[reader] = written
            if still:
                places.add(reader)
                pending.append(reader)
    if not sources or not found:
        return
    place = made(Adding(node))
    for source in sources:
        source.replace_all_uses_with(place)
        captured.graph.erase_node(source)
    for reader in [reader for reader in captured.graph.nodes if reader in found]:
        result = found[reader]()
        if result is not None and result is not reader:
            reader.replace_all_uses_with(result)
            captured.graph.erase_node(reader)


def _reads(reader: Any, place: int, name: str) -> bool:
    return reader.op == "call_function" and len(reader.args) > 1 and reader.args[1] in (place, name)


def _is_argsort(node: fx.Node) -> bool:
    return node.target in (torch.argsort, "argsort")


def _made_by(node: fx.Node) -> Callable[[Adding], fx.Node] | None:
    """What writes the places that a node gives; None: it gives none, or not along one axis of each image."""
    x, target = argument(node, "input", 0), node.target
    if target in _ALONE or target in _BESIDE:
        dim, function = argument(node, "dim", 1), (_ALONE | _BESIDE)[target]
        if not isinstance(dim, int):
            return None
        keep = bool(argument(node, "keepdim", 2, False))
        return lambda add: add.function(function, x, dim, keep)
    if target in _SORTS or _is_argsort(node):
        dim, descending = argument(node, "dim", 1, -1), argument(node, "descending", 2, False)
        return lambda add: add.function(positions.places_in_order, x, dim, bool(descending))
    if target in _MOST:
        k, dim = argument(node, "k", 1), argument(node, "dim", 2, -1)
        largest = bool(argument(node, "largest", 3, True))
        return lambda add: add.function(positions.places_of_most, x, k, dim, largest)
    return None


def _read_by(
    captured: fx.GraphModule, node: Any, places: set[fx.Node], signals: set[fx.Node]
) -> tuple[Written | None, bool]:
    """What takes the place of a reader of places, and whether it gives places again."""
    target, args, add = node.target, node.args, Adding(node)
    if node.op == "call_module":
        module = captured.get_submodule(str(target))
        if not isinstance(module, nn.Embedding) or module.max_norm is not None:
            return None, False
        return lambda: add.function(
            positions.looked_up, node.args[0], add.attribute(f"{target}.weight")
        ), False
    if target is F.embedding and argument(node, "max_norm", 3) is None and _is_in(args[0], places):
        weight = argument(node, "weight", 1)
        if _is_in(weight, signals):
            return None, False
        return lambda: add.function(positions.looked_up, node.args[0], weight), False
    if target in _MOVES or (target is operator.getitem and node.all_input_nodes == [args[0]]):
        return (lambda: node), True
    if target in ("long", "int") or (target in ("to", "type") and len(args) == 2 and args[1] in _WHOLE):
        return (lambda: node.args[0]), True
    if target in ("float", "double") or (
        target in ("to", "type", "type_as") and _asks_for_real(node, places)
    ):
        return (lambda: node), False
    if target is getattr:
        return ((lambda: node), False) if args[1] in ("shape", "device", "ndim") else (None, False)
    if target in _SUMS and len(args) == 2 and not node.kwargs:
        other = args[1] if _is_in(args[0], places) else args[0]
        if (
            isinstance(other, int)
            or _is_in(other, places)
            or (isinstance(other, fx.Node) and not _is_in(other, signals))
        ):
            return (lambda: node), True
    if len(args) == 2 and isinstance(args[1], int) and args[1] > 0:
        if target in _QUOTIENTS or (
            target in _BY_PARTS and node.kwargs.get("rounding_mode") in ("floor", "trunc")
        ):
            return (lambda: add.function(positions.quotient, node.args[0], args[1])), True
        if target in _RESTS:
            return (lambda: add.function(positions.rest, node.args[0], args[1])), True
    if (
        target in _FRACTIONS
        and len(args) == 2
        and not node.kwargs
        and _is_number(args[1 - (_is_in(args[1], places))])
    ):
        return (lambda: node), False
    return _fetched_by(node, places, signals, add), False


def _fetched_by(node: Any, places: set[fx.Node], signals: set[fx.Node], add: Adding) -> Written | None:
    """What takes the place of an operation that fetches or puts values at places."""
    target, args = node.target, node.args
    if target in _GATHERS and _only(node, argument(node, "index", 2), places):
        return lambda: add.function(
            positions.taken, argument(node, "input", 0), argument(node, "dim", 1), argument(node, "index", 2)
        )
    if target in _ALONG and _only(node, argument(node, "indices", 1), places):
        dim = argument(node, "dim", 2)
        if isinstance(dim, int):
            return lambda: add.function(
                positions.taken_along, argument(node, "input", 0), argument(node, "indices", 1), dim
            )
    if (
        target in _SCATTERS
        and "reduce" not in node.kwargs
        and _only(node, argument(node, "index", 2), places)
    ):
        value = argument(node, "src", 3, node.kwargs.get("value"))
        if value is not None:
            return lambda: add.function(
                positions.put,
                argument(node, "input", 0),
                argument(node, "dim", 1),
                argument(node, "index", 2),
                value,
            )
    number = argument(node, "num_classes", 1)
    if target is F.one_hot and isinstance(number, int) and number > 0:
        return lambda: add.function(positions.as_one_hot, node.args[0], number)
    if target is operator.getitem and not _is_in(args[0], places):
        index = args[1]
        if _is_in(index, places) and not _is_in(args[0], signals):
            return lambda: add.function(positions.looked_up, node.args[1], args[0])
        if (
            isinstance(index, tuple)
            and len(index) == 2
            and _is_in(index[1], places)
            and _counts_images(index[0])
        ):
            return lambda: add.function(positions.rows_taken, node.args[0], node.args[1][1])
    return None


def _only(node: fx.Node, index: Any, places: set[fx.Node]) -> bool:
    """True where places are an operation's index, and nothing else of it."""
    return _is_in(index, places) and sum(source in places for source in node.all_input_nodes) == 1


def _is_number(value: Any) -> bool:
    """True for what makes numbers of places by a quotient, or by a product with a fraction."""
    return isinstance(value, int | float)


def _asks_for_real(node: fx.Node, places: set[fx.Node]) -> bool:
    """True for a conversion to floating point, also to the type of a signal."""
    if len(node.args) != 2:
        return False
    wanted: Any = node.args[1]
    if isinstance(wanted, torch.dtype):
        return wanted.is_floating_point
    if isinstance(wanted, fx.Node) and wanted.target is getattr and wanted.args[1] == "dtype":
        wanted = wanted.args[0]
    elif node.target != "type_as":
        return False
    return isinstance(wanted, fx.Node) and not _is_in(wanted, places)


def _counts_images(value: Any) -> bool:
    """True for torch.arange over the number of images, in any shape."""
    while isinstance(value, fx.Node) and (
        value.target in ("unsqueeze", "view", "reshape", "to", "expand")
        or (value.target is operator.getitem and isinstance(value.args[1], tuple) and None in value.args[1])
    ):
        value = value.args[0]
    if not isinstance(value, fx.Node) or value.target is not torch.arange or len(value.args) != 1:
        return False
    size: Any = value.args[0]
    if isinstance(size, fx.Node) and size.target is operator.getitem and size.args[1] == 0:
        size = size.args[0]
        return isinstance(size, fx.Node) and (size.target == "size" or size.args[1:] == ("shape",))
    return isinstance(size, fx.Node) and size.target == "size" and size.args[1:] == (0,)


def _is_in(value: Any, nodes: set[fx.Node]) -> bool:
    """True for one of some values of the graph; arguments may be lists and slices."""
    return isinstance(value, fx.Node) and value in nodes
