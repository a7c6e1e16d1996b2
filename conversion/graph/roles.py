"""Sort every operation of a captured network into its role; list all that have none.

A value is *dynamic* when it depends on the network's input. Operations on constants alone (weights,
sizes) are left as they are; every operation on a dynamic value must be in the tables of
`conversion.graph.operations`, in a form that treats the images of a batch independently.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from conversion.errors import Unsupported, UnsupportedOperations
from conversion.functions.elementwise import CALLS, IDENTITY, Elementwise, of_call, of_module
from conversion.functions.relay import relay
from conversion.graph.activations import TrainedActivation
from conversion.graph.layout import find_layout
from conversion.graph.nodes import attribute, module_path, source_line
from conversion.graph.operations import (
    ATTRIBUTES,
    FUNCTIONS,
    METHODS,
    MODULES,
    NEURON_MODULES,
    Kind,
    advice_for,
)


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


class _Refusal(Exception):
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
    along: dict[fx.Node, _Refusal] = {}  # operations along the first axis, which may be right
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
                name, operation = _unique(_name_of(node), used), _function_name(node.target)
                roles[node] = Role(Kind.CONSTANT, name, operation)
            elif node in moved:
                advice = "make constants with one entry for each image in their first axis"
                refused.append(_Refusal(f"{_function_name(node.target)} of the batch size", advice).at(node))
            continue
        try:
            kind, operation = _role_of(captured, node, inputs)
            activation: Activation = (None, None, 0.0)
            if kind is Kind.NEURON:
                activation = _activation(captured, node, operation)
            levels = _levels(captured, node)
            _check_constants(kind, operation, node, roles)
            try:
                _check_batch_axis(captured, node, operation)
            except _Refusal as refusal:
                if layout is None or kind not in _MOVABLE:
                    raise
                refusal.node = node
                along[node] = refusal
            sources = [source for source in inputs if source in moved]
            if sources and node not in along and kind not in _MOVABLE and kind is not Kind.SHAPE:
                raise _blamed(node, sources[0], moved, along)
        except _Refusal as refusal:
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


def kinds_of(captured: fx.GraphModule) -> dict[fx.Node, Kind]:
    """Part of every operation on a dynamic value; those that have none are left out."""
    found: dict[fx.Node, Kind] = {}
    dynamic: set[fx.Node] = set()
    for node in captured.graph.nodes:
        inputs = [source for source in node.all_input_nodes if source in dynamic]
        if node.op == "placeholder":
            dynamic.add(node)
        if node.op in ("placeholder", "get_attr", "output") or not inputs:
            continue
        with suppress(_Refusal):
            found[node], _ = _role_of(captured, node, inputs)
        if found.get(node) not in (Kind.SHAPE, Kind.CONSTANT):
            dynamic.add(node)
    return found


# What may work on values whose first axis does not hold image after image.
_MOVABLE = frozenset({Kind.ROUTING, Kind.SCALE, Kind.SUM, Kind.SPREAD, Kind.FUNCTION})


def _blamed(
    node: fx.Node, source: fx.Node, moved: Collection[fx.Node], along: Mapping[fx.Node, _Refusal]
) -> _Refusal:
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
        return _Refusal("the output for one image depends on the other images of its batch", _INDEPENDENT)
    return _Refusal(f"{_function_name(node.target)} of images that depend on each other", _INDEPENDENT)


_INDEPENDENT = "treat the images of a batch independently: do not mix, move or repeat the first axis"


def _check_constants(kind: Kind, operation: str, node: fx.Node, roles: Mapping[fx.Node, Role]) -> None:
    """Refuse weights that are made anew for each image."""
    made = any(s in roles and roles[s].kind is Kind.CONSTANT for s in node.all_input_nodes)
    if kind is Kind.WEIGHTED and made:
        raise _Refusal(f"{operation} with weights of the batch size", "use weights without an axis of images")


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


def _role_of(captured: fx.GraphModule, node: fx.Node, signals: list[fx.Node]) -> tuple[Kind, str]:
    if node.op == "call_module":
        module = captured.get_submodule(str(node.target))
        return _module_role(module)
    if node.op == "call_method":
        operation = f"Tensor.{node.target}"
        kind = METHODS.get(str(node.target))
    else:
        operation = _function_name(node.target)
        kind = Kind.SHAPE if node.target is getattr else FUNCTIONS.get(node.target)  # type: ignore[arg-type]
        if hasattr(node.target, "_fields"):  # a named tuple of outputs
            kind = Kind.ROUTING
    if node.target is getattr and node.args[1] not in ATTRIBUTES:
        raise _Refusal(f"attribute .{node.args[1]}", "use .shape or .size()")
    if kind is None:
        raise _Refusal(operation)
    if kind in (Kind.SCALE, Kind.WEIGHTED):
        kind = _kind_of_product(node, kind, operation, signals)
    if kind is Kind.FUNCTION:
        _check_function(node, operation)
    if kind is Kind.POOLING and _argument(node, "return_indices", None):
        raise _Refusal(f"{operation} with return_indices", "pool without indices")
    if "dropout" in operation and _argument(node, "training", 2, "alpha" not in operation) is not False:
        raise _Refusal(f"{operation} in eval mode", "pass training=self.training")
    if node.target == "to":
        _check_float(node, operation)
    return kind, operation


def _kind_of_product(node: fx.Node, kind: Kind, operation: str, signals: list[fx.Node]) -> Kind:
    """Affine with a constant, a function of two signals; refuse weights that come before the signal."""
    factors: list[fx.Node] = []  # with repetition: x * x is a product of two signals
    fx.map_arg((node.args, node.kwargs), factors.append)
    first = _argument(node, "input", 0)
    if "div" in operation and node.kwargs.get("rounding_mode"):
        raise _Refusal(f"{operation} with rounding", "divide without rounding")
    several = sum(factor in signals for factor in factors) > 1
    if several and kind is Kind.WEIGHTED and "matmul" not in operation:
        raise _Refusal(f"{operation} with a signal as weights", "a layer's weights must be constant")
    if several or ("div" in operation and first not in signals):
        return Kind.FUNCTION
    if kind is Kind.WEIGHTED and first not in signals:
        raise _Refusal(f"{operation} with a signal as weights", "pass the signal first, then the weights")
    return kind


def _check_function(node: fx.Node, operation: str) -> None:
    """Refuse what is not stateless, or gives something else than tensors of the same kind."""
    if _argument(node, "use_input_stats", None) is False:
        raise _Refusal(f"{operation} with running statistics", "use batch norm")
    if any(isinstance(value, torch.dtype) and not value.is_floating_point for value in node.kwargs.values()):
        raise _Refusal(f"{operation} in whole numbers", "keep signals in floating point")


def _check_float(node: fx.Node, operation: str) -> None:
    kinds = [value for value in (*node.args, *node.kwargs.values()) if isinstance(value, torch.dtype)]
    if any(not kind.is_floating_point for kind in kinds):
        raise _Refusal(f"{operation} {kinds[0]}", "keep signals in floating point; whole numbers round them")


def _function_name(target: Any) -> str:
    module = getattr(target, "__module__", None) or ""
    name = getattr(target, "__name__", str(target))
    module = {"_operator": "operator", "torch._C._nn": "torch.nn.functional"}.get(module, module)
    return f"{module}.{name}" if module else f"torch.{name}"


def _module_role(module: nn.Module) -> tuple[Kind, str]:
    room = "conversion.graph.activations" if isinstance(module, TrainedActivation) else "torch.nn"
    operation = f"{room}.{type(module).__name__}"
    if isinstance(module, NEURON_MODULES):
        return Kind.NEURON, operation
    for parent in type(module).__mro__:
        if parent in MODULES:
            break
    else:
        raise _Refusal(operation)
    if getattr(module, "return_indices", False):
        raise _Refusal(f"{operation} with return_indices", "pool without indices")
    if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is None:
        raise _Refusal(f"{operation} without running statistics", "track running statistics in training")
    return MODULES[parent], operation


# Function of an activation beyond the ReLU family; else its upper bound, and its slope below 0.
Activation = tuple[Elementwise | None, float | None, float | tuple[float, ...]]


def _activation(captured: fx.GraphModule, node: fx.Node, operation: str) -> Activation:
    """What a layer of neurons stands for."""
    module = captured.get_submodule(str(node.target)) if node.op == "call_module" else None
    if node.target is relay:
        return IDENTITY, None, 0.0
    if isinstance(module, TrainedActivation):
        return None, float(module.ceiling), 0.0
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return *_bounded(float(module.min_val), float(module.max_val), operation), 0.0
    found = of_call(node.target, node.args[1:], dict(node.kwargs)) if module is None else of_module(module)
    if found is not None:
        return found, None, 0.0
    name = operation.rsplit(".", 1)[-1].rstrip("_")
    if name == "relu6":
        return None, 6.0, 0.0
    if name == "hardtanh":
        low, high = _argument(node, "min_val", 1, -1.0), _argument(node, "max_val", 2, 1.0)
        return *_bounded(low, high, operation), 0.0
    if name.startswith("cl"):  # clamp and its forms
        high = None if "clamp_min" in name else _argument(node, "max", 2)
        return *_bounded(_argument(node, "min", 1), high, operation), 0.0
    if node.target in CALLS:
        raise _Refusal(f"{operation} with parameters that are no numbers", "use constant parameters")
    slope = _slope(captured, node, operation)
    if isinstance(slope, float) and not 0 <= slope < 1:
        return Elementwise("leaky_relu", (slope,)), None, 0.0
    return None, None, slope


def _slope(captured: fx.GraphModule, node: fx.Node, operation: str) -> float | tuple[float, ...]:
    """Slope of a leaky ReLU below 0, or slopes of a PReLU; 0 for everything else."""
    module = captured.get_submodule(str(node.target)) if node.op == "call_module" else None
    if isinstance(module, nn.PReLU):
        return _learned(module.weight)
    if isinstance(module, nn.LeakyReLU):
        slope: Any = module.negative_slope
    elif isinstance(module, nn.RReLU):
        slope = (module.lower + module.upper) / 2  # in eval mode
    elif operation.endswith("prelu"):
        weight = _argument(node, "weight", 1)
        if not isinstance(weight, fx.Node) or weight.op != "get_attr":
            raise _Refusal(f"{operation} with slopes that are computed", "use a parameter as slopes")
        return _learned(attribute(captured, str(weight.target)))
    else:
        slope = _argument(node, "negative_slope", 1, 0.01) if "leaky_relu" in operation else 0.0
    if not isinstance(slope, int | float):
        raise _Refusal(f"{operation} with a slope that is computed", "use a constant slope")
    return float(slope)


def _learned(slopes: Tensor) -> float | tuple[float, ...]:
    """Slopes of a PReLU: one number where one within [0, 1) holds for all channels."""
    values = tuple(slopes.detach().double().flatten().tolist())
    if len(set(values)) == 1 and 0 <= values[0] < 1:
        return float(values[0])
    return values


def _levels(captured: fx.GraphModule, node: fx.Node) -> int | None:
    module = captured.get_submodule(str(node.target)) if node.op == "call_module" else None
    return int(module.levels) if isinstance(module, TrainedActivation) else None


def _bounded(low: Any, high: Any, operation: str) -> tuple[Elementwise | None, float | None]:
    """Clipping: a ReLU with an upper bound where the lower one is 0, else a function of its own."""
    if not all(bound is None or isinstance(bound, int | float) for bound in (low, high)):
        raise _Refusal(f"{operation} between bounds that are computed", "clamp between constants")
    if low == 0 and (high is None or high > 0):
        return None, None if high is None else float(high)
    bounds = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    return Elementwise("hardtanh", bounds), None


def _argument(node: fx.Node, name: str, position: int | None, default: Any = None) -> Any:
    if name in node.kwargs:
        return node.kwargs[name]
    if position is not None and len(node.args) > position:
        return node.args[position]
    return default


# Operations that work along axes: where they say which, as (keyword, position, default).
_AXES: dict[str, tuple[str, int, Any]] = {
    **dict.fromkeys(("mean", "sum", "flip"), ("dim", 1, 0)),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack"), ("dim", 1, 0)),
    **dict.fromkeys(("chunk", "split", "tensor_split"), ("dim", 2, 0)),
    **dict.fromkeys(("unbind", "unsqueeze", "squeeze", "unflatten"), ("dim", 1, 0)),
    **dict.fromkeys(("select", "index_select", "narrow"), ("dim", 1, 0)),
    **dict.fromkeys(("softmax", "log_softmax", "softmin", "logsumexp"), ("dim", 1, None)),
    **dict.fromkeys(("amin", "std", "var", "prod"), ("dim", 1, None)),
    "norm": ("dim", 2, None),
    "normalize": ("dim", 2, 1),
    "glu": ("dim", 1, -1),
    "flatten": ("start_dim", 1, 0),
    "roll": ("dims", 2, 0),
}
_EXCHANGES = {"transpose", "swapaxes", "swapdims", "movedim", "moveaxis"}


def _check_batch_axis(captured: fx.GraphModule, node: fx.Node, operation: str) -> None:
    """Refuse operations that may mix or move the images of a batch: time is folded into that axis.

    Axes counted from the end are not looked at here; `convert` tries whether images are independent.
    """
    if node.op == "call_module":
        module = captured.get_submodule(str(node.target))
        if isinstance(module, nn.Flatten) and module.start_dim == 0:
            raise _Refusal(f"{operation} over the batch axis", "start to flatten at dimension 1")
    elif 0 in _axes_of(node, operation.rsplit(".", 1)[-1]):
        raise _Refusal(f"{operation} over the batch axis", _INDEPENDENT)


def _axes_of(node: fx.Node, name: str) -> list[Any]:
    """Axes that an operation works along; [0] where it says none and means all of them."""
    if name in _AXES:
        keyword, position, default = _AXES[name]
        aliases = [key for key in (keyword, "dim", "dims", "axis") if key in node.kwargs]
        axes = _argument(node, aliases[0] if aliases else keyword, position, default)
        axes = 0 if axes is None else axes  # mean(dim=None) is over everything
        if name == "flip" and isinstance(axes, int):
            axes = node.args[position:] or axes
        return list(axes) if isinstance(axes, list | tuple) else [axes]
    if name in _EXCHANGES:
        return _flat(node.args[1:3])
    if name == "permute":
        order = _flat(node.kwargs.get("dims", node.args[1:]))
        return [] if order[0] == 0 else [0]
    if name == "getitem" and not _yields_tuple(node.args[0]):
        index = node.args[1]
        first = index[0] if isinstance(index, tuple) else index
        return [] if first in (slice(None), Ellipsis) else [0]
    return []


def _flat(values: Any) -> list[Any]:
    return [axis for value in values for axis in (value if isinstance(value, list | tuple) else [value])]


def _yields_tuple(node: Any) -> bool:
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name in ("chunk", "split", "tensor_split", "unbind", "size", "getattr", "shape")
