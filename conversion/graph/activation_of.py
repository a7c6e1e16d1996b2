"""What a layer of neurons stands for, read off the activation of the ANN."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, fx, nn

from conversion.functions.elementwise import CALLS, IDENTITY, Elementwise, of_call, of_module
from conversion.functions.relay import relay
from conversion.graph.activations import TrainedActivation
from conversion.graph.nodes import attribute
from conversion.graph.refusal import Refusal, argument

# Function of an activation beyond the ReLU family; else its upper bound, and its slope below 0.
Activation = tuple[Elementwise | None, float | None, float | tuple[float, ...]]


def activation_of(captured: fx.GraphModule, node: fx.Node, operation: str) -> Activation:
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
        low, high = argument(node, "min_val", 1, -1.0), argument(node, "max_val", 2, 1.0)
        return *_bounded(low, high, operation), 0.0
    if name.startswith("cl"):  # clamp and its forms
        low = None if "clamp_max" in name else argument(node, "min", 1)
        high = None if "clamp_min" in name else argument(node, "max", 1 if "clamp_max" in name else 2)
        return *_bounded(low, high, operation), 0.0
    if node.target in CALLS:
        raise Refusal(f"{operation} with parameters that are no numbers", "use constant parameters")
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
        weight = argument(node, "weight", 1)
        if not isinstance(weight, fx.Node) or weight.op != "get_attr":
            raise Refusal(f"{operation} with slopes that are computed", "use a parameter as slopes")
        return _learned(attribute(captured, str(weight.target)))
    else:
        slope = argument(node, "negative_slope", 1, 0.01) if "leaky_relu" in operation else 0.0
    if not isinstance(slope, int | float):
        raise Refusal(f"{operation} with a slope that is computed", "use a constant slope")
    return float(slope)


def _learned(slopes: Tensor) -> float | tuple[float, ...]:
    """Slopes of a PReLU: one number where one within [0, 1) holds for all channels."""
    values = tuple(slopes.detach().double().flatten().tolist())
    if len(set(values)) == 1 and 0 <= values[0] < 1:
        return float(values[0])
    return values


def levels_of(captured: fx.GraphModule, node: fx.Node) -> int | None:
    """Steps of an activation that was trained for conversion; None for all others."""
    module = captured.get_submodule(str(node.target)) if node.op == "call_module" else None
    return int(module.levels) if isinstance(module, TrainedActivation) else None


def _bounded(low: Any, high: Any, operation: str) -> tuple[Elementwise | None, float | None]:
    """Clipping: a ReLU with an upper bound where the lower one is 0, else a function of its own."""
    if not all(bound is None or isinstance(bound, int | float) for bound in (low, high)):
        raise Refusal(f"{operation} between bounds that are computed", "clamp between constants")
    if low == 0 and (high is None or high > 0):
        return None, None if high is None else float(high)
    bounds = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    return Elementwise("hardtanh", bounds), None
