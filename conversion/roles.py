"""Sort every operation of a captured network into its role; list all that have none.

A value is *dynamic* when it depends on the network's input. Operations on constants alone (weights,
sizes) are left as they are; every operation on a dynamic value must be in the tables of
`conversion.operations`, in a form that treats the images of a batch independently.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from conversion.capture import module_path, source_line
from conversion.errors import Unsupported, UnsupportedOperations
from conversion.operations import FUNCTIONS, METHODS, MODULES, NEURON_MODULES, Kind, advice_for


@dataclass(frozen=True)
class Role:
    """Part that one operation plays."""

    kind: Kind
    name: str  # unique and readable, e.g. "layer1.0.relu" or "layer1.0.relu#2" at its second use
    operation: str  # e.g. "torch.nn.ReLU"
    ceiling: float | None = None  # upper bound of a neuron's activation, e.g. 6 for ReLU6


class _Refusal(Exception):
    """Why an operation has no role: (what it is called, what to do instead)."""

    def __init__(self, operation: str, advice: str | None = None) -> None:
        super().__init__(operation)
        self.operation = operation
        self.advice = advice or advice_for(operation)


def sort_into_roles(captured: fx.GraphModule) -> dict[fx.Node, Role]:
    """Role of every operation on a dynamic value, in graph order.

    Raises:
        UnsupportedOperations: lists every operation that has no role.
    """
    roles: dict[fx.Node, Role] = {}
    refused: list[Unsupported] = []
    dynamic: set[fx.Node] = set()
    used: dict[str, int] = {}
    for node in captured.graph.nodes:
        if node.op == "placeholder":
            dynamic.add(node)
            continue
        inputs = [source for source in node.all_input_nodes if source in dynamic]
        if node.op in ("get_attr", "output") or not inputs:
            continue
        try:
            kind, operation, ceiling = _role_of(captured, node, inputs)
        except _Refusal as refusal:
            refused.append(
                Unsupported(refusal.operation, module_path(node), source_line(node), refusal.advice)
            )
            dynamic.add(node)
            continue
        if kind is not Kind.SHAPE:
            dynamic.add(node)
        roles[node] = Role(kind, _unique(_name_of(node), used), operation, ceiling)
    if refused:
        raise UnsupportedOperations(refused)
    return roles


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


def _role_of(
    captured: fx.GraphModule, node: fx.Node, signals: list[fx.Node]
) -> tuple[Kind, str, float | None]:
    if node.op == "call_module":
        module = captured.get_submodule(str(node.target))
        return _module_role(module)
    if node.op == "call_method":
        operation = f"Tensor.{node.target}"
        kind = METHODS.get(str(node.target))
    else:
        operation = _function_name(node.target)
        kind = Kind.SHAPE if node.target is getattr else FUNCTIONS.get(node.target)  # type: ignore[arg-type]
    if node.target is getattr and node.args[1] != "shape":
        raise _Refusal(f"attribute .{node.args[1]}", "use .shape or .size()")
    if kind is None:
        raise _Refusal(operation)
    if kind is Kind.NEURON:
        return kind, operation, _ceiling_of_call(node, operation)
    factors: list[fx.Node] = []  # with repetition: x * x is a product of two signals
    fx.map_arg((node.args, node.kwargs), factors.append)
    if kind in (Kind.SCALE, Kind.WEIGHTED) and sum(factor in signals for factor in factors) > 1:
        raise _Refusal(operation, "a product of two signals is not affine; only constant factors convert")
    if node.target in (torch.div,) and node.kwargs.get("rounding_mode"):
        raise _Refusal(f"{operation} with rounding", "divide without rounding")
    if kind is Kind.SCALE and "div" in operation and node.args[0] not in signals:
        raise _Refusal(operation, "a constant divided by a signal is not affine")
    if kind is Kind.POOLING and _argument(node, "return_indices", None):
        raise _Refusal(f"{operation} with return_indices", "pool without indices")
    _check_batch_axis(node, operation)
    return kind, operation, None


def _function_name(target: Any) -> str:
    module = getattr(target, "__module__", None) or ""
    name = getattr(target, "__name__", str(target))
    module = {"_operator": "operator", "torch._C._nn": "torch.nn.functional"}.get(module, module)
    return f"{module}.{name}" if module else f"torch.{name}"


def _module_role(module: nn.Module) -> tuple[Kind, str, float | None]:
    operation = f"torch.nn.{type(module).__name__}"
    if isinstance(module, NEURON_MODULES):
        return Kind.NEURON, operation, _ceiling_of_module(module, operation)
    for parent in type(module).__mro__:
        if parent in MODULES:
            break
    else:
        raise _Refusal(operation)
    if getattr(module, "return_indices", False):
        raise _Refusal(f"{operation} with return_indices", "pool without indices")
    if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is None:
        raise _Refusal(f"{operation} without running statistics", "track running statistics in training")
    if isinstance(module, nn.Flatten) and module.start_dim == 0:
        raise _Refusal(f"{operation} over the batch axis", "start to flatten at dimension 1")
    return MODULES[parent], operation, None


def _ceiling_of_module(module: nn.Module, operation: str) -> float | None:
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return _bounds(float(module.min_val), float(module.max_val), operation)
    return None


def _ceiling_of_call(node: fx.Node, operation: str) -> float | None:
    name = operation.rsplit(".", 1)[-1].rstrip("_")
    if name == "relu":
        return None
    if name == "relu6":
        return 6.0
    if name == "hardtanh":
        low, high = _argument(node, "min_val", 1, -1.0), _argument(node, "max_val", 2, 1.0)
    else:  # clamp and its forms
        low = _argument(node, "min", 1)
        high = None if "clamp_min" in name else _argument(node, "max", 2)
    return _bounds(low, high, operation)


def _bounds(low: Any, high: Any, operation: str) -> float | None:
    floor_is_zero = isinstance(low, int | float) and low == 0
    top_is_positive = high is None or (isinstance(high, int | float) and high > 0)
    if not (floor_is_zero and top_is_positive):
        raise _Refusal(f"{operation} between {low} and {high}", "clamp between 0 and a positive constant")
    return None if high is None else float(high)


def _argument(node: fx.Node, name: str, position: int | None, default: Any = None) -> Any:
    if name in node.kwargs:
        return node.kwargs[name]
    if position is not None and len(node.args) > position:
        return node.args[position]
    return default


_REDUCTIONS = {"mean", "sum"}


def _check_batch_axis(node: fx.Node, operation: str) -> None:
    """Refuse operations that mix or move the images of a batch: time is folded into that axis."""
    name = operation.rsplit(".", 1)[-1]
    axes: Iterable[Any] = ()
    if name in _REDUCTIONS:
        axis = _argument(node, "dim", 1)
        axes = [0] if axis is None else axis if isinstance(axis, list | tuple) else [axis]
    elif name in ("cat", "concat", "stack"):
        axes = [_argument(node, "dim", 1, 0)]
    elif name in ("chunk", "split"):
        axes = [_argument(node, "dim", 2, 0)]
    elif name == "flatten":
        axes = [_argument(node, "start_dim", 1, 0)]
    elif name in ("unsqueeze", "squeeze"):
        axes = [_argument(node, "dim", 1, 0)]
    elif name in ("transpose", "narrow", "movedim"):
        axes = [a for a in node.args[1:3] if isinstance(a, int)] if name != "narrow" else [node.args[1]]
    elif name == "permute":
        order = node.args[1:] if isinstance(node.args[1], int) else node.args[1]
        axes = [] if order[0] == 0 else [0]  # type: ignore[index]
    elif name == "getitem":
        index = node.args[1]
        first = index[0] if isinstance(index, tuple) else index
        source_is_tuple = _yields_tuple(node.args[0])
        axes = [] if source_is_tuple or first in (slice(None), Ellipsis) else [0]
    if any(isinstance(axis, int) and axis == 0 for axis in axes):
        raise _Refusal(f"{operation} over the batch axis", "treat the images of a batch independently")


def _yields_tuple(node: Any) -> bool:
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name in ("chunk", "split", "size", "getattr", "shape")
