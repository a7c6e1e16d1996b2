"""The simulator: chunks of time through the captured graph, one operation after the other.

A feed-forward spiking network has no delay between layers, so a whole chunk of time steps passes
through one operation before the next one starts. Neurons and pools keep state across chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

import torch
from torch import Tensor, fx

from conversion.neurons import Neuron, State, scan
from conversion.operations import SHAPE_ARGUMENTS, Kind
from conversion.plan import Plan, attribute, max_pool_of, operation_of, shape_answer
from conversion.pooling import MaxPool
from conversion.signals import Signal, fold, map_structure, signals_in


class Simulation:
    """State of one batch of images on its way through a spiking network.

    Args:
        plan: the converted network.
        thresholds: per neuron layer, broadcastable to [B, C, ...].
        units: per pooling node, the value of one spike, or None where spikes of several sizes mix.
        images: analog input [B, ...], the same in every step.
    """

    def __init__(
        self,
        plan: Plan,
        thresholds: dict[str, Tensor],
        units: dict[fx.Node, Tensor | None],
        images: Tensor,
    ) -> None:
        if not isinstance(plan.recipe.neuron, Neuron):
            raise TypeError(f"{plan.recipe.neuron.name} does not spike; it cannot be simulated over time")
        self._plan = plan
        self._neuron_type = plan.recipe.neuron
        self._thresholds = thresholds
        self._units = units
        self._images = images
        self._constant: dict[fx.Node, Any] = {}  # values that do not change over time
        self._states: dict[fx.Node, State] = {}
        self._pools: dict[fx.Node, MaxPool] = {}
        self._last_use = plan.last_use
        self._absorbed: Set[fx.Node] = frozenset()  # computed inside a later operation
        self.spike_maps: dict[str, Tensor] = {}  # layer -> spikes so far, [C, ...], summed over images

    def advance(self, steps: int) -> Any:
        """Run `steps` more time steps.

        Returns:
            Output of the network with its own structure, each tensor a `Signal` over these steps (or
            over one step, where the output does not change over time).
        """
        values: dict[fx.Node, Any] = dict(self._constant)
        output: Any = None
        for node in self._plan.captured.graph.nodes:
            if node in self._absorbed:
                continue
            if node.op == "output":
                output = fx.map_arg(node.args[0], lambda source: values[source])
                output = map_structure(lambda constant: Signal(constant, 1), Tensor, output)
            elif node not in values:
                value = self._evaluate(node, values, steps)
                values[node] = value
                if self._is_constant(node):
                    self._constant[node] = value
            for source in self._last_use.get(node, ()):
                values.pop(source, None)
        return output

    def _is_constant(self, node: fx.Node) -> bool:
        """True for values computed from constants alone; a chunk of one step is not a constant."""
        role = self._plan.roles.get(node)
        if role is not None and role.kind is Kind.NEURON:
            return False
        return all(source in self._constant for source in node.all_input_nodes)

    def _evaluate(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> Any:
        if node.op == "placeholder":
            return Signal(self._images, 1)
        if node.op == "get_attr":
            return attribute(self._plan.captured, str(node.target))
        args = fx.map_arg(node.args, lambda source: values[source])
        kwargs = fx.map_arg(node.kwargs, lambda source: values[source])
        role = self._plan.roles.get(node)
        if role is None:
            return operation_of(self._plan.captured, node)(*args, **kwargs)
        if role.kind is Kind.NEURON:
            return self._neuron(node, role.name, signals_in([args, kwargs])[0], steps)
        if role.kind is Kind.POOLING:
            return self._pool(node, role.name, signals_in([args, kwargs])[0])
        if role.kind is Kind.SHAPE:
            return shape_answer(node, signals_in([args, kwargs])[0].shape, args[1:], kwargs)
        if role.kind is Kind.SUM:
            return _sum(operation_of(self._plan.captured, node), args, kwargs)
        return _affine(operation_of(self._plan.captured, node), node, args, kwargs)

    def _neuron(self, node: fx.Node, name: str, current: Signal, steps: int) -> Signal:
        threshold = self._thresholds[name]
        spikes = self._fire(node, (current.data / threshold).unflatten(0, (current.steps, -1)), steps)
        self._count(name, spikes)
        return fold(spikes * threshold)

    def _fire(self, node: fx.Node, current: Tensor, steps: int) -> Tensor:
        """Spikes [T, B, ...] from currents in thresholds, [T, B, ...] or [1, B, ...] if constant."""
        state = self._states.get(node)
        if state is None:
            state = self._neuron_type.start(torch.full_like(current[0], self._plan.recipe.initial.value))
        spikes, self._states[node] = scan(self._neuron_type, current, steps, state)
        return spikes

    def _pool(self, node: fx.Node, name: str, values: Signal) -> Signal:
        pool = self._pool_of(node)
        if node.all_input_nodes[0] in self._constant:  # the maximum of a constant is constant
            return Signal(pool(values.data), 1)
        pooled, self._states[node] = self._plan.recipe.pooling.scan(
            pool, values.timed, self._states.get(node, {})
        )
        unit = self._units[node]
        self._count(name, (pooled != 0).to(pooled.dtype) if unit is None else (pooled / unit).round())
        return fold(pooled)

    def _pool_of(self, node: fx.Node) -> MaxPool:
        if node not in self._pools:
            self._pools[node] = max_pool_of(self._plan.captured, node)
        return self._pools[node]

    def _count(self, name: str, spikes: Tensor) -> None:
        self._add_to_map(name, spikes.abs().sum((0, 1)))

    def _add_to_map(self, name: str, counts: Tensor) -> None:
        total = counts.double()
        self.spike_maps[name] = self.spike_maps[name] + total if name in self.spike_maps else total


def _sum(operation: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Add or subtract; a constant operand is broadcast over time instead of repeated."""
    signals = signals_in([args, kwargs])
    steps = max(signal.steps for signal in signals)
    if len({signal.data.ndim for signal in signals}) > 1 or len(signals) < 2:
        return _affine(operation, None, args, kwargs)
    timed_args, timed_kwargs = map_structure(lambda signal: signal.timed, Signal, (args, kwargs))
    return Signal(operation(*timed_args, **timed_kwargs).flatten(0, 1), steps)


def _affine(operation: Callable[..., Any], node: fx.Node | None, args: Any, kwargs: Any) -> Any:
    """Run an affine operation on all time steps at once."""
    steps = max(signal.steps for signal in signals_in([args, kwargs]))
    if node is not None and node.target in SHAPE_ARGUMENTS:
        args = (args[0], *with_time(args[1:], args[0].steps))
        kwargs = {key: with_time((value,), args[0].steps)[0] for key, value in kwargs.items()}
    args, kwargs = map_structure(lambda signal: signal.over(steps).data, Signal, (args, kwargs))
    result = operation(*args, **kwargs)
    return map_structure(lambda tensor: Signal(tensor, steps), Tensor, result)


def with_time(shape: tuple[Any, ...], steps: int) -> tuple[Any, ...]:
    """Arguments of a reshape: a new shape whose batch size counts all time steps; -1 stays -1."""
    first, *rest = shape
    if isinstance(first, list | tuple):
        return (with_time(tuple(first), steps), *rest)
    return (first if first == -1 else first * steps, *rest)
