"""Which part an operation plays, by the tables of `conversion.graph.operations` and by its arguments."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from conversion.graph.activations import TrainedActivation
from conversion.graph.operations import (
    ATTRIBUTES,
    CONVOLUTIONS,
    FUNCTIONS,
    METHODS,
    MODULES,
    NEURON_MODULES,
    Kind,
)
from conversion.graph.refusal import Refusal, argument


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
        with suppress(Refusal):
            found[node], _ = kind_of(captured, node, inputs)
        if found.get(node) not in (Kind.SHAPE, Kind.CONSTANT):
            dynamic.add(node)
    return found


def kind_of(captured: fx.GraphModule, node: fx.Node, signals: list[fx.Node]) -> tuple[Kind, str]:
    """Part of an operation on signals, and what the operation is called.

    Raises:
        Refusal: it has none.
    """
    if node.op == "call_module":
        module = captured.get_submodule(str(node.target))
        return _module_role(module)
    if node.op == "call_method":
        operation = f"Tensor.{node.target}"
        kind = METHODS.get(str(node.target))
    else:
        operation = function_name(node.target)
        kind = Kind.SHAPE if node.target is getattr else FUNCTIONS.get(node.target)  # type: ignore[arg-type]
        if hasattr(node.target, "_fields"):  # a named tuple of outputs
            kind = Kind.ROUTING
    if node.target is getattr and node.args[1] not in ATTRIBUTES:
        raise Refusal(f"attribute .{node.args[1]}", "use .shape or .size()")
    if kind is None:
        raise Refusal(operation)
    if kind in (Kind.SCALE, Kind.WEIGHTED):
        kind = _kind_of_product(node, kind, operation, signals)
    if kind is Kind.FUNCTION:
        _check_function(node, operation)
    if node.target is F.grid_sample and argument(node, "grid", 1) not in signals:
        kind = Kind.SPREAD
    if node.target is F.fold and _moves_only(*fold_settings(node)):
        kind = Kind.ROUTING
    if operation.endswith("scatter") and node.kwargs.get("reduce"):
        how = node.kwargs["reduce"]
        raise Refusal(f"{operation} with {how}", "add or multiply by an operation of its own")
    if kind is Kind.POOLING and argument(node, "return_indices", None):
        raise Refusal(f"{operation} with return_indices", "pool without indices")
    if "dropout" in operation and argument(node, "training", 2, "alpha" not in operation) is not False:
        raise Refusal(f"{operation} in eval mode", "pass training=self.training")
    if kind not in (Kind.SHAPE, Kind.CONSTANT):
        _check_float(node, operation)
    return kind, operation


def _kind_of_product(node: fx.Node, kind: Kind, operation: str, signals: list[fx.Node]) -> Kind:
    """Affine with a constant, a function of two signals; refuse weights that come before the signal."""
    factors: list[fx.Node] = []  # with repetition: x * x is a product of two signals
    fx.map_arg((node.args, node.kwargs), factors.append)
    first = argument(node, "input", 0)
    if "div" in operation and node.kwargs.get("rounding_mode"):
        raise Refusal(f"{operation} with rounding", "divide without rounding")
    several = sum(factor in signals for factor in factors) > 1
    if several and kind is Kind.WEIGHTED and "matmul" not in operation and node.target not in CONVOLUTIONS:
        raise Refusal(f"{operation} with a signal as weights", "a layer's weights must be constant")
    if several or ("div" in operation and first not in signals):
        return Kind.FUNCTION
    if kind is Kind.WEIGHTED and first not in signals:
        raise Refusal(f"{operation} with a signal as weights", "pass the signal first, then the weights")
    return kind


def fold_settings(node: fx.Node) -> tuple[Any, Any, Any, Any]:
    """Kernel, dilation, padding and stride of a call of F.fold."""
    given = (("kernel_size", None), ("dilation", 1), ("padding", 0), ("stride", 1))
    kernel, dilation, padding, stride = (
        argument(node, name, at, default) for at, (name, default) in enumerate(given, 2)
    )
    return kernel, dilation, padding, stride


def _moves_only(kernel: Any, dilation: Any, padding: Any, stride: Any) -> bool:
    """True where the windows of a fold lie side by side, so that nothing is summed."""
    return _pair(kernel) == _pair(stride) and _pair(dilation) == (1, 1) and _pair(padding) == (0, 0)


def _pair(value: Any) -> tuple[Any, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _check_function(node: fx.Node, operation: str) -> None:
    """Refuse what is not stateless, or gives something else than tensors of the same kind."""
    if argument(node, "use_input_stats", None) is False:
        raise Refusal(f"{operation} with running statistics", "use batch norm")


def _check_float(node: fx.Node, operation: str) -> None:
    kinds = [value for value in (*node.args, *node.kwargs.values()) if isinstance(value, torch.dtype)]
    if any(not kind.is_floating_point for kind in kinds):
        raise Refusal(f"{operation} {kinds[0]}", "keep signals in floating point; whole numbers round them")


def function_name(target: Any) -> str:
    """Name of a function as its users write it."""
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
        raise Refusal(operation)
    if getattr(module, "return_indices", False):
        raise Refusal(f"{operation} with return_indices", "pool without indices")
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
        raise Refusal(f"{operation} without running statistics", "track running statistics in training")
    if isinstance(module, nn.Fold):
        side_by_side = _moves_only(module.kernel_size, module.dilation, module.padding, module.stride)
        return (Kind.ROUTING if side_by_side else Kind.SPREAD), operation
    return MODULES[parent], operation
