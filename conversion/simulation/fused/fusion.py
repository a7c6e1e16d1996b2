"""Which operations become one spike-driven layer: a neuron with everything that is summed into it.

The current of a neuron is a sum: the output of a convolution or linear layer, spikes of a residual
branch, constant or dense currents. One layer with weights that is driven by spikes, all summands,
and the neuron run together in the kernel; every other operation runs as it is.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from conversion.functions.elementwise import Elementwise
from conversion.graph.operations import Kind
from conversion.plan.fitted import Fitted
from conversion.plan.plan import Plan
from conversion.simulation.fused.firing import Telescoped, firing_of, telescoped

_ADDITIONS = (operator.add, torch.add, "add")


@dataclass(frozen=True)
class Limits:
    """Layers that the kernels of a backend can run.

    Attributes:
        synapses: they add up weights that spikes meet; without, only neurons and sums run in them.
        most_inputs: most input channels.
        most_addends: most values that are added to the output of a layer with weights.
        telescopes: neurons behind telescoped functions fire in them, see `firing.telescoped`.
        grouped: they add up convolutions with groups, too.
        tokens: values [B, L, C], with channels last, run in them, too.
        shapeless: neurons of any shape fire in them, whatever their thresholds are.
    """

    synapses: bool
    most_inputs: int
    most_addends: int
    telescopes: bool = False
    grouped: bool = False
    tokens: bool = False
    shapeless: bool = False


@dataclass(frozen=True)
class Fusion:
    """One neuron layer and what is summed into it."""

    synapses: fx.Node | None  # layer with weights, driven by spikes
    addends: tuple[fx.Node, ...]  # values added to its output
    absorbed: frozenset[fx.Node]  # operations that are not run on their own
    telescoped: Telescoped | None = None  # what comes between the sum and the neurons
    shapeless: bool = False  # each neuron has a threshold of its own, as if it were a channel


def find_fusions(fitted: Fitted, limits: Limits) -> dict[fx.Node, Fusion]:
    """Fusion of every neuron layer whose shape the kernels can run."""
    plan = fitted.plan
    fusions: dict[fx.Node, Fusion] = {}
    for node in plan.nodes_of(Kind.NEURON):
        find = _fusion if has_kernel_shape(fitted, node, limits) else _shapeless
        fusion = find(fitted, limits, node)
        if fusion is not None:
            fusions[node] = fusion
    return fusions


def has_kernel_shape(fitted: Fitted, node: fx.Node, limits: Limits) -> bool:
    """True for [B, C, H, W], [B, C] or tokens [B, L, C] with one threshold for each of their channels."""
    shape, role = fitted.plan.shapes[node], fitted.plan.roles[node]
    if len(shape) == 3:
        alike = role.kind is not Kind.NEURON or fitted.layers[role.name].threshold.numel() == 1
        return limits.tokens and (alike or role.axis == -1)
    in_order = role.axis == 1 or len(shape) == 2  # the last axis is the second
    return len(shape) in (2, 4) and in_order


def value_of(fitted: Fitted, node: fx.Node) -> Tensor | None:
    """Value of one spike of each channel, on the second axis or, of tokens [B, L, C], the last one.

    None where spikes of different sizes mix, and where weights have been applied.
    """
    plan, known = fitted.plan, fitted.spike_values.get(node)
    if len(plan.shapes.get(node, ())) != 3 or (known is not None and known.numel() == 1):
        return known
    moved = fitted.moved_values.get(node)
    if isinstance(moved, Tensor) and moved.ndim == 3 and moved.numel() == moved.shape[-1]:
        return moved
    role = plan.roles.get(node)
    while role is not None and role.kind is Kind.ROUTING and _is_idle(plan, node):
        (node,) = node.all_input_nodes
        role = plan.roles.get(node)
    if role is None or role.kind is not Kind.NEURON or role.axis != -1:
        return None
    return fitted.layers[role.name].threshold if len(plan.shapes[node]) == 3 else None


def _is_idle(plan: Plan, node: fx.Node) -> bool:
    """True for an operation that hands its only input on as it is."""
    if node.op != "call_module" or len(node.all_input_nodes) != 1:
        return False
    return isinstance(plan.captured.get_submodule(str(node.target)), nn.Identity | nn.Dropout)


def is_spike_driven(fitted: Fitted, limits: Limits, node: fx.Node) -> bool:
    """True for a layer that the kernels can run: zero padding, spikes of one size as input."""
    plan = fitted.plan
    role = plan.roles.get(node)
    if role is None or role.kind is not Kind.WEIGHTED or node.op != "call_module" or not limits.synapses:
        return False
    module: Any = plan.captured.get_submodule(str(node.target))
    if isinstance(module, nn.Conv2d):
        ungrouped = module.groups == 1 or limits.grouped
        suits = ungrouped and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    else:
        tokens = limits.tokens and len(plan.shapes[node]) == 3
        suits = isinstance(module, nn.Linear) and (tokens or len(plan.shapes[node]) == 2)
    source = node.args[0] if node.args else None
    if not suits or len(plan.shapes[node]) not in (2, 3, 4) or not isinstance(source, fx.Node):
        return False
    channels = module.weight.shape[1] * getattr(module, "groups", 1)
    if not module.weight.numel():  # no kernel is made for layers without a single weight
        return False
    return value_of(fitted, source) is not None and channels <= limits.most_inputs


def is_depthwise(module: nn.Module) -> bool:
    """True for a convolution with one filter for each channel."""
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels == module.out_channels


def _fusion(fitted: Fitted, limits: Limits, neuron: fx.Node) -> Fusion | None:
    plan = fitted.plan
    function = plan.telescoped(neuron)
    between = None if function is None else _telescoped(fitted, neuron, function)
    if function is not None and (between is None or not limits.telescopes):
        return None
    absorbed: set[fx.Node] = set()
    summands: list[fx.Node] = []
    pending = [neuron.all_input_nodes[0]]
    while pending:
        node = pending.pop()
        if _is_plain_sum(plan, node):
            absorbed.add(node)
            pending += node.all_input_nodes
        else:
            summands.append(node)
    driven = [node for node in summands if len(node.users) == 1 and is_spike_driven(fitted, limits, node)]
    # The layer with most inputs gains most from being fused; the others run on their own.
    synapses = max(driven, key=lambda node: _inputs(plan, node), default=None)
    addends = tuple(node for node in summands if node is not synapses)
    same_shape = all(plan.shapes[node][1:] == plan.shapes[neuron][1:] for node in summands)
    if not same_shape or len(addends) > limits.most_addends:
        return None
    return Fusion(synapses, addends, frozenset(absorbed | ({synapses} if synapses else set())), between)


def _shapeless(fitted: Fitted, limits: Limits, neuron: fx.Node) -> Fusion | None:
    """Neurons alone, of any shape: with their thresholds in order, all that they need is their current."""
    layer = fitted.layers[fitted.plan.roles[neuron].name]
    function = fitted.plan.telescoped(neuron)
    between = None if function is None else _telescoped(fitted, neuron, function)
    fires = firing_of(layer.neuron, layer.capped) is not None and (function is None or between is not None)
    if not fires or not limits.shapeless:
        return None
    return Fusion(None, (neuron.all_input_nodes[0],), frozenset(), between, shapeless=True)


def _telescoped(fitted: Fitted, neuron: fx.Node, function: Elementwise) -> Telescoped | None:
    """Neurons behind a function, where nothing comes in between: no offset, no steps before the read-out."""
    layer = fitted.layers[fitted.plan.roles[neuron].name]
    method = fitted.plan.method
    if layer.offset is not None or layer.capped or method.initial.steps:
        return None
    return telescoped(layer.neuron, function)


def _is_plain_sum(plan: Plan, node: fx.Node) -> bool:
    """A sum of two signals that only one operation reads."""
    role = plan.roles.get(node)
    if role is None or role.kind is not Kind.SUM or node.target not in _ADDITIONS or len(node.users) > 1:
        return False
    both = node.all_input_nodes
    signals = [s for s in both if s in plan.roles or s.op == "placeholder"]
    return len(signals) == 2 == len(node.args) and not node.kwargs


def _inputs(plan: Plan, node: fx.Node) -> int:
    module: Any = plan.captured.get_submodule(str(node.target))
    return int(module.weight[0].numel())
