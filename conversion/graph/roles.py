"""Sort every operation of a captured network into its role; list all that have none.

A value is *dynamic* when it depends on the network's input. Operations on constants alone (weights,
sizes) are left as they are; every operation on a dynamic value must be in the tables of
`conversion.graph.operations`, in a form that treats the images of a batch independently.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, fx

from conversion.errors import Unsupported, UnsupportedOperations
from conversion.functions.elementwise import Elementwise
from conversion.graph.activation_of import Activation, activation_of, levels_of
from conversion.graph.batch_axis import INDEPENDENT, check_batch_axis
from conversion.graph.kinds import function_name, kind_of
from conversion.graph.layout import find_layout
from conversion.graph.nodes import module_path
from conversion.graph.operations import CONVOLUTIONS, Kind
from conversion.graph.refusal import Refusal


@dataclass(frozen=True)
class Role:
    """Part that one operation plays."""

    kind: Kind
    name: str  # unique and readable, e.g. "layer1.0.relu" or "layer1.0.relu#2" at its second use
    operation: str  # e.g. "torch.nn.ReLU"
    ceiling: float | None = None  # upper bound of a neuron's activation, e.g. 6 for ReLU6
    # Of a neuron's activation below 0, e.g. 0.1 for a leaky ReLU; of each channel for PReLU.
    slope: float | tuple[float, ...] = 0.0
    levels: int | None = None  # steps up to the ceiling of an activation trained for conversion
    # Of neurons for anything else than a ReLU between 0 and a bound, or a leaky one.
    function: Elementwise | None = None
    axis: int = 1  # of channels in what a layer of neurons gives: 1, or -1 before linear layers
    moved: bool = False  # images are not in the first axis of what it reads or gives: runs step by step

    @property
    def slopes(self) -> tuple[float, ...]:
        """Slopes below 0, one for all channels or one for each."""
        return self.slope if isinstance(self.slope, tuple) else (self.slope,)

    @property
    def signed(self) -> bool:
        """True where an activation can be negative."""
        return any(slope > 0 for slope in self.slopes) or (self.function is not None and self.function.signed)

    @property
    def activation(self) -> Elementwise:
        """What a layer of neurons computes in the ANN; a trained staircase counts as the slope under it."""
        if self.function is not None:
            return self.function
        if isinstance(self.slope, tuple):
            return Elementwise("prelu", (self.slope,))
        if self.slope:
            return Elementwise("leaky_relu", (self.slope,))
        return Elementwise("relu") if self.ceiling is None else Elementwise("hardtanh", (0.0, self.ceiling))


def sort_into_roles(captured: fx.GraphModule, images: Tensor | None = None) -> dict[fx.Node, Role]:
    """Role of every operation on a dynamic value, in graph order.

    Args:
        captured: graph of a network.
        images: what it takes, [B, ...], to find out where the images of a batch are in each value. Without
            them every operation that works along the first axis is refused; with them only those that mix
            images, or after which a neuron or a layer with weights does not find image after image.

    Raises:
        UnsupportedOperations: lists every operation that has no role.
    """
    roles: dict[fx.Node, Role] = {}
    refused: list[Unsupported] = []
    nameless: set[fx.Node] = set()  # results of refused operations
    dynamic: set[fx.Node] = set()
    along: dict[fx.Node, Refusal] = {}  # operations along the first axis, which may be right
    elsewhere_made: dict[fx.Node, Refusal] = {}  # constants for each image, along another axis than the first
    used: dict[str, int] = {}
    layout = None if images is None else find_layout(captured, images)
    moved = layout.moved if layout else frozenset()
    for node in captured.graph.nodes:
        if node.op == "placeholder":
            dynamic.add(node)
            continue
        inputs = [source for source in node.all_input_nodes if source in dynamic]
        if node.op == "output":
            blamed = [_blamed(node, source, moved, along) for source in inputs if source in moved]
            refused += [one.at(node) for one in blamed if not refused or one in along.values()]
        if node.op in ("get_attr", "output"):
            continue
        if not inputs:
            if layout is not None and node in layout.batched:
                name, operation = _unique(_name_of(node), used), function_name(node.target)
                roles[node] = Role(Kind.CONSTANT, name, operation)
            elif node in moved:  # right where what is taken of it has its images in the first axis
                name, operation = _unique(_name_of(node), used), function_name(node.target)
                roles[node] = Role(Kind.CONSTANT, name, operation, moved=True)
                advice = "make constants with one entry for each image in their first axis"
                refusal = Refusal(f"{operation} of the batch size", advice)
                refusal.node = node
                origins = (
                    elsewhere_made[source] for source in node.all_input_nodes if source in elsewhere_made
                )
                elsewhere_made[node] = next(origins, refusal)
            continue
        made = [elsewhere_made[source] for source in node.all_input_nodes if source in elsewhere_made]
        if made:
            refused += [one.at(node) for one in made]
            nameless.add(node)
            dynamic.add(node)
            continue
        try:
            kind, operation = kind_of(captured, node, inputs)
            activation: Activation = (None, None, 0.0)
            if kind is Kind.NEURON:
                activation = activation_of(captured, node, operation)
            levels = levels_of(captured, node)
            _check_constants(kind, operation, node, roles)
            try:
                check_batch_axis(captured, node, operation)
                if kind is Kind.FUNCTION and node.target in CONVOLUTIONS:  # output channels are no images
                    raise Refusal(f"{operation} with a signal as weights", INDEPENDENT)
            except Refusal as refusal:
                if layout is None or kind not in _MOVABLE:
                    raise
                refusal.node = node
                along[node] = refusal
            sources = [source for source in inputs if source in moved]
            misread = sources and node not in along and kind not in _MOVABLE and kind is not Kind.SHAPE
            if misread and (along or not _is_told(sources[0], nameless)):
                raise _blamed(node, sources[0], moved, along)
        except Refusal as refusal:
            if node.target is not operator.getitem or node.args[0] not in nameless:  # told already
                refused.append(refusal.at(node))
            nameless.add(node)
            dynamic.add(node)
            continue
        if kind not in (Kind.SHAPE, Kind.CONSTANT):
            dynamic.add(node)
        elsewhere = kind is not Kind.SHAPE and (node in along or node in moved or bool(sources))
        name = _unique(_name_of(node), used)
        function, ceiling, slope = activation
        roles[node] = Role(kind, name, operation, ceiling, slope, levels, function, moved=elsewhere)
    if refused:
        raise UnsupportedOperations(list(dict.fromkeys(refused)))
    for node, role in roles.items():
        if role.function is not None and _feeds_last_axis(node, roles):
            roles[node] = replace(role, axis=-1)
    return roles


_SAME_PLACE = ("Dropout", "Identity", "dropout", "contiguous", "clone", "detach", "float")


def _feeds_last_axis(node: fx.Node, roles: Mapping[fx.Node, Role]) -> bool:
    """True where layers with weights, or products of matrices, sum what neurons send over its last axis."""
    pending, found = list(node.users), False
    while pending:
        user = pending.pop()
        role = roles.get(user)
        if role is None:
            continue
        name = role.operation.rpartition(".")[2]
        if role.kind is Kind.WEIGHTED:
            if name not in ("Linear", "linear", "matmul"):
                return False
            found = True
        elif role.kind is Kind.FUNCTION and name in ("matmul", "bmm", "einsum"):
            found = True
        elif role.kind in (Kind.SCALE, Kind.SUM) or name in _SAME_PLACE:
            pending += list(user.users)
    return found


# What may work on values whose first axis does not hold image after image.
_MOVABLE = frozenset({Kind.ROUTING, Kind.SCALE, Kind.SUM, Kind.SPREAD, Kind.FUNCTION})


def _is_told(source: fx.Node, nameless: Collection[fx.Node]) -> bool:
    """True where a value comes from an operation that is refused: what it does to images is not known."""
    pending, seen = [source], set[fx.Node]()
    while pending:
        current = pending.pop()
        if current in nameless:
            return True
        if current not in seen:
            seen.add(current)
            pending += current.all_input_nodes
    return False


def _blamed(
    node: fx.Node, source: fx.Node, moved: Collection[fx.Node], along: Mapping[fx.Node, Refusal]
) -> Refusal:
    """Why `node` cannot read `source`: the operation along the first axis that comes before it."""
    pending, seen = [source], set[fx.Node]()
    while pending:
        current = pending.pop()
        if current in along:
            return along[current]
        if current not in seen and current in moved:
            seen.add(current)
            pending += current.all_input_nodes
    if node.op == "output":
        return Refusal("the output for one image depends on the other images of its batch", INDEPENDENT)
    return Refusal(f"{_operation(node)} of images that depend on each other", INDEPENDENT)


def _operation(node: fx.Node) -> str:
    """What an operation is called in a message; of a module, the name of its class."""
    if node.op == "call_module" and node.graph.owning_module is not None:
        return f"torch.nn.{type(node.graph.owning_module.get_submodule(str(node.target))).__name__}"
    return function_name(node.target)


def _check_constants(kind: Kind, operation: str, node: fx.Node, roles: Mapping[fx.Node, Role]) -> None:
    """Refuse weights that are made anew for each image."""
    made = any(s in roles and roles[s].kind is Kind.CONSTANT for s in node.all_input_nodes)
    if kind is Kind.WEIGHTED and made:
        raise Refusal(f"{operation} with weights of the batch size", "use weights without an axis of images")


def _name_of(node: fx.Node) -> str:
    path = module_path(node)
    if node.op == "call_module":
        return path
    target = (
        node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    )
    return f"{path}.{target}" if path else target


def _unique(name: str, used: dict[str, int]) -> str:
    used[name] = used.get(name, 0) + 1
    return name if used[name] == 1 else f"{name}#{used[name]}"
