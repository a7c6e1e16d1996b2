"""One spelling for each operation: torch offers many, and the tables of roles shall know few.

* ``x.expand_as(y)``, ``view_as`` and ``reshape_as`` take the shape of y; ``type_as`` and ``to(y)`` its type.
* ``hstack``, ``hsplit`` and the like are cat and tensor_split.
* The minimum over axes (the values of ``min``) is ``amin``, and what gives values and their places is a
  function of the values where no place is read; ``x.mT`` is a transposition.
* What is a sum, a product or a move of what it reads is written out, see `conversion.graph.forms`.
* Parameters of activations that are tensors are numbers, see `conversion.graph.numbers`.
* Places of values that only fetch values are numbers, see `conversion.graph.positions`.
* Scaled dot products of attention are products and a softmax. A matrix of constants times a signal is a
  signal times constants.
* Comparisons of signals, and choices by them, are functions in floating point, see
  `conversion.functions.choices`.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from conversion.functions import ordered
from conversion.functions.attention import scaled_dot_product
from conversion.functions.choices import COMPARISONS, chosen, compared
from conversion.graph.complexes import write_in_real_numbers
from conversion.graph.einsums import write_out_sums
from conversion.graph.forms import write_out_forms
from conversion.graph.nodes import Adding, attribute, write_as
from conversion.graph.numbers import write_numbers
from conversion.graph.operations import ATTRIBUTES, METHODS, Kind
from conversion.graph.positions import write_places
from conversion.graph.refusal import argument
from conversion.graph.rewriting import shapes_of


def spell_alike(captured: fx.GraphModule, images: Tensor | None = None) -> None:
    """Rewrite a graph in place.

    Args:
        captured: graph of a network.
        images: what it takes, [1, ...]; without them, what needs the shapes of values stays as it is.
    """
    for node in captured.graph.nodes:
        if node.op in ("call_function", "call_method"):
            node.kwargs = {_ALIASES.get(name, name): value for name, value in node.kwargs.items()}
    write_in_real_numbers(captured, _signals(captured.graph), images)
    shapes = None if images is None else lambda: shapes_of(captured, images)
    write_out_forms(captured, _signals(captured.graph), shapes)
    for node in list(captured.graph.nodes):
        if node.target is F.scaled_dot_product_attention:
            write_as(node, scaled_dot_product)
    write_numbers(captured, _signals(captured.graph))
    write_places(captured, _signals(captured.graph))
    truths: set[fx.Node] = set()  # what comparisons of signals give
    for node in list(captured.graph.nodes):
        spelled = _spelled(node, truths)
        if spelled is None:
            continue
        if spelled is not node:
            node.replace_all_uses_with(spelled)
            captured.graph.erase_node(node)
    signals = _signals(captured.graph)
    write_out_sums(captured, signals)
    captured.graph.eliminate_dead_code()
    captured.recompile()


_ALIASES = {"axis": "dim", "keepdims": "keepdim"}  # NumPy's names, which torch takes as well
_LIKE = {"expand_as": "expand", "view_as": "reshape", "reshape_as": "reshape"}
_STACKS = {torch.hstack: 1, torch.dstack: 2}
_SPLITS: dict[Any, int] = {torch.hsplit: 1, torch.dsplit: 2, "hsplit": 1, "dsplit": 2}
# What gives values and their places, and the function of the values alone.
_WITH_PLACES: dict[Any, Any] = {
    **dict.fromkeys((torch.min, "min"), torch.amin),
    **dict.fromkeys((torch.cummax, "cummax"), ordered.running_maximum),
    **dict.fromkeys((torch.cummin, "cummin"), ordered.running_minimum),
    **dict.fromkeys((torch.sort, "sort"), ordered.sorted_values),
    **dict.fromkeys((torch.topk, "topk"), ordered.largest_values),
    **dict.fromkeys((torch.kthvalue, "kthvalue"), ordered.value_at),
    **dict.fromkeys((torch.median, "median"), ordered.middle_value),
}


def _spelled(node: fx.Node, truths: set[fx.Node]) -> fx.Node | None:
    """What takes the place of a node; the node itself where it was changed; None: it stays."""
    target, args, add = node.target, node.args, Adding(node)
    if node.op not in ("call_function", "call_method"):
        return None
    if node.target in (torch.matmul, operator.matmul, "matmul") and len(args) == 2 and _weights_first(node):
        one, two = (add.method("transpose", each, -2, -1) for each in args)
        product = add.function(torch.matmul, two, one)
        return add.method("transpose", product, -2, -1)
    if target in _LIKE and len(args) == 2:
        return add.method(_LIKE[str(target)], args[0], _asked(add, args[1], "shape"))
    if target in ("type_as", "to") and len(args) == 2 and not node.kwargs and _is_signal(args[1]):
        return add.method("to", args[0], _asked(add, args[1], "dtype"))
    if target is getattr and args[1] in ("mT", "mH"):
        return add.method("transpose", args[0], -2, -1)
    if target in _STACKS and not node.kwargs:
        return add.function(torch.cat, args[0], _STACKS[target])
    if target in _SPLITS and len(args) == 2:
        return add.function(torch.tensor_split, *args, _SPLITS[target])
    if target in _WITH_PLACES:
        return _values_alone(node)
    return _logical(node, truths)


def _weights_first(node: fx.Node) -> bool:
    """True for a matrix of constants times a signal."""
    one, two = node.args
    if not isinstance(one, fx.Node) or not isinstance(two, fx.Node) or _depends_on_images(one):
        return False
    owner = node.graph.owning_module
    if owner is not None and one.op == "get_attr" and attribute(owner, str(one.target)).ndim < 2:
        return False
    return _depends_on_images(two)


def _asked(add: Adding, other: Any, attribute_: str) -> fx.Node:
    return add.function(getattr, other, attribute_)


def _values_alone(node: fx.Node) -> fx.Node | None:
    """A function of values where nothing reads the places at which they were found."""
    readers = [reader for reader in node.users if reader.op == "call_function" and len(reader.args) > 1]
    if len(readers) < len(node.users) or any(reader.args[1] not in ("values", 0) for reader in readers):
        return None
    function = _WITH_PLACES[node.target]
    along_all = function in (torch.amin, ordered.middle_value)  # where no axis is said, or of two signals
    if along_all and not isinstance(argument(node, "dim", 1), int):
        return None
    values = Adding(node).function(function, *node.args)
    values.kwargs = dict(node.kwargs)
    for reader in readers:
        reader.replace_all_uses_with(values)
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
_LARGE = 1e4  # exp(-_LARGE) is 0
_PASSING = (
    *("float", "double", "to", "type", "unsqueeze", "squeeze", "expand", "view", "reshape", "flatten"),
    *("permute", "transpose", "contiguous", "clone", "detach"),
)


def _logical(node: fx.Node, truths: set[fx.Node]) -> fx.Node | None:
    """Comparisons of signals, what is made of them, and choices by them."""
    target, args, add = node.target, node.args, Adding(node)
    sources = list(node.all_input_nodes)
    if target in _COMPARED and len(args) == 2 and any(_depends_on_images(source) for source in sources):
        made = add.function(compared, *args, _COMPARED[target])
        truths.add(made)
        return made
    if not truths.intersection(sources):
        return None
    if target in _AND or target in _OR:
        function = torch.minimum if target in _AND else torch.maximum
        made = add.function(function, *args)
    elif target in _NOT:
        made = add.function(operator.sub, 1.0, args[0])
    elif target in (torch.where, "where") and len(args) == 3:
        by_method = node.op == "call_method"
        condition, one, two = (args[1], args[0], args[2]) if by_method else args
        if condition not in truths:
            return None
        return add.function(chosen, condition, _finite(one), _finite(two))
    elif target in (torch.masked_fill, "masked_fill") and len(args) == 3 and args[1] in truths:
        return add.function(chosen, args[1], _finite(args[2]), args[0])
    elif node.op == "call_method" and target in _PASSING:
        truths.add(node)
        return None
    else:
        return None
    truths.add(made)
    return made


def _signals(graph: fx.Graph) -> set[fx.Node]:
    """Values that depend on images."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or (_is_signal(node) and not found.isdisjoint(node.all_input_nodes)):
            found.add(node)
    return found


def _finite(value: Any) -> Any:
    """A score that leaves out as well as an infinite one does, but from which a signal can come back."""
    return math.copysign(_LARGE, value) if isinstance(value, float) and math.isinf(value) else value


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
