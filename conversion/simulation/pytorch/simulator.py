"""The simulator: chunks of time through the captured graph, one operation after the other.

A feed-forward spiking network has no delay between layers, so a whole chunk of time steps passes
through one operation before the next one starts. Neurons and pools keep state across chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

import torch
from torch import Tensor, fx

from conversion.costs.tally import SpikeTally
from conversion.graph.nodes import attribute, operation_of, shape_answer
from conversion.graph.operations import SHAPE_ARGUMENTS, Kind
from conversion.graph.unpooling import max_unpool
from conversion.neurons import Neuron, State
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan, max_pool_of
from conversion.pooling import MaxPool, running_sum
from conversion.signals.coding import RATE
from conversion.signals.signals import Signal, fold, map_structure, signals_in

# (neuron, current, steps, state) -> (spikes, state, factor), as `Initial.before`.
Before = Callable[[Neuron, Tensor, int, State], tuple[Tensor, State, Tensor | None]]


class Simulation:
    """State of one batch of images on its way through a spiking network.

    Args:
        plan: the converted network.
        layers: fitted neuron layers by name.
        units: per pooling node, the value of one spike, or None where spikes of several sizes mix.
        images: analog input [B, ...], shown in every step or as the neuron's coding has it.
        tally: counts spikes; None where nobody asks for them.
    """

    def __init__(
        self,
        plan: Plan,
        layers: Mapping[str, SpikingLayer],
        units: dict[fx.Node, Tensor | None],
        images: Tensor,
        tally: SpikeTally | None = None,
    ) -> None:
        self._plan = plan
        self._tally = tally
        self._layers = layers
        self._coding = plan.neuron.coding
        self._units = units
        self._images = images
        self._constant: dict[fx.Node, Any] = {}  # values that do not change over time
        self._states: dict[fx.Node, State] = {}
        self._pools: dict[fx.Node, MaxPool] = {}
        self._last_use = plan.last_use
        self._absorbed: Set[fx.Node] = frozenset()  # computed inside a later operation
        self._done = 0  # steps since the read-out began
        self._before: Before | None = None  # what neurons do in steps before the read-out
        self._factors: dict[fx.Node, Tensor] = {}  # of all spikes of a layer
        self._at_rest: dict[fx.Node, tuple[Tensor, ...]] = {}  # inputs and output of pools at rest

    def begin(self) -> Any:
        """Run the steps that come before the read-out, if the recipe has any.

        Returns:
            Output at rest, in the network's own structure, where the coding needs it; else None.
        """
        initial = self._plan.method.initial
        if initial.steps:
            self._run_before(initial.before, initial.steps)
        if not self._coding.needs_rest:
            return None
        return map_structure(lambda signal: signal.data, Signal, self._run_before(_rest, 1))

    def _run_before(self, before: Before, steps: int) -> Any:
        self._before = before
        output = self._run(steps)
        self._before = None
        if not self._coding.needs_rest:  # else pools go on from what they saw at rest
            for node in (*self._plan.nodes_of(Kind.POOLING), *self._plan.nodes_of(Kind.UNPOOLING)):
                self._states.pop(node, None)
        return output

    def advance(self, steps: int) -> Any:
        """Run `steps` more time steps.

        Returns:
            Output of the network with its own structure, each tensor a `Signal` over these steps (or
            over one step, where the output does not change over time).
        """
        output = self._run(steps)
        self._done += steps
        return output

    def _run(self, steps: int) -> Any:
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
        if role is not None and role.kind is Kind.CONSTANT:
            return True
        if node.op == "placeholder" and self._coding.needs_rest:
            return False  # shown in one step only
        return all(source in self._constant for source in node.all_input_nodes)

    def _evaluate(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> Any:
        if node.op == "placeholder":
            return self._presented(steps)
        if node.op == "get_attr":
            return attribute(self._plan.captured, str(node.target))
        args = fx.map_arg(node.args, lambda source: values[source])
        kwargs = fx.map_arg(node.kwargs, lambda source: values[source])
        role = self._plan.roles.get(node)
        if role is None:
            return operation_of(self._plan.captured, node)(*args, **kwargs)
        if role.kind is Kind.NEURON:
            return self._neuron(node, role.name, signals_in([args, kwargs])[0], steps)
        if role.kind is Kind.UNPOOLING:
            return self._unpool(node, role.name, args)
        if role.kind is Kind.POOLING:
            return self._pool(node, role.name, signals_in([args, kwargs])[0])
        if role.kind is Kind.SHAPE:
            signal = signals_in([args, kwargs])[0]
            return shape_answer(node, signal.shape, args[1:], kwargs, signal.data)
        if role.kind is Kind.CONSTANT:
            return _constant(operation_of(self._plan.captured, node), args, kwargs)
        if role.moved:
            return _step_by_step(operation_of(self._plan.captured, node), args, kwargs)
        if role.kind is Kind.SUM:
            return _sum(operation_of(self._plan.captured, node), args, kwargs)
        return _affine(operation_of(self._plan.captured, node), node, args, kwargs)

    def _presented(self, steps: int) -> Signal:
        """What the network sees of the images; nothing at rest."""
        if self._coding.needs_rest and self._before is not None:
            return Signal(torch.zeros_like(self._images), 1)
        return fold(self._coding.presented(self._images, self._done, steps))

    def _neuron(self, node: fx.Node, name: str, current: Signal, steps: int) -> Signal:
        layer = self._layers[name]
        timed = current.timed if layer.offset is None else current.timed + layer.offset
        spikes = self._fire(node, name, timed / layer.threshold, steps)
        return fold(spikes * layer.threshold)

    def _fire(self, node: fx.Node, name: str, current: Tensor, steps: int) -> Tensor:
        """Spikes [T, B, ...] from currents in thresholds, [T, B, ...] or [1, B, ...] if constant."""
        layer = self._layers[name]
        state = self._states.get(node)
        if state is None:
            state = layer.start(current[0])
        if self._before is None:
            spikes, self._states[node] = layer.neuron.scan(current, steps, state)
        else:
            spikes, self._states[node], factor = self._before(layer.neuron, current, steps, state)
            if factor is not None:
                self._factors[node] = factor
        if node in self._factors and self._before is None:
            spikes = spikes * self._factors[node]
        self._count(name, layer.neuron.events(spikes))
        return spikes

    def _pool(self, node: fx.Node, name: str, values: Signal) -> Signal:
        pool = self._pool_of(node)
        if node.all_input_nodes[0] in self._constant:  # the maximum of a constant is constant
            return Signal(pool(values.data), 1)
        pooled = self._pool_over_time(node, pool, values.timed)
        self._count_sent(name, pooled, self._units[node])
        return fold(pooled)

    def _count_sent(self, name: str, sent: Tensor, unit: Tensor | None) -> None:
        """Count what a pool sends [T, B, ...]: in spikes of one size, or else events."""
        if unit is None or self._coding is not RATE or not self._plan.neuron.integral:
            self._count(name, (sent != 0).to(sent.dtype))
        else:
            self._count(name, (sent / unit).round())

    def _unpool(self, node: fx.Node, name: str, args: Any) -> Signal:
        """Values where the running maximum of another signal is: U_t - U_{t-1} with U_t of sums up to t.

        What was sent up to t is then exactly the unpooling of what arrived up to t, as with lossless
        pooling.
        """
        values, source, pool, unpool = args
        steps = max(values.steps, source.steps)
        arriving = [signal.over(steps).timed for signal in (values, source)]
        weights = None if self._before else self._coding.weights(self._done, steps)
        if weights is not None:
            weights = weights.to(arriving[0]).view(-1, *[1] * (arriving[0].ndim - 1))
            arriving = [(x - rest) * weights for x, rest in zip(arriving, self._at_rest[node], strict=False)]
        state = self._states.get(node, {})
        sums, sources = (
            running_sum(arriving[0], state.get("values")),
            running_sum(arriving[1], state.get("source")),
        )
        placed = max_unpool(sums.flatten(0, 1), sources.flatten(0, 1), pool, unpool).unflatten(0, (steps, -1))
        before = state["placed"] if state else torch.zeros_like(placed[0])
        sent = torch.diff(placed, dim=0, prepend=before[None])
        self._states[node] = {"values": sums[-1], "source": sources[-1], "placed": placed[-1]}
        if weights is not None:
            sent = self._at_rest[node][2] + sent / weights
        elif self._coding.needs_rest:
            self._at_rest[node] = arriving[0][0], arriving[1][0], sent[0]
        self._count_sent(name, sent, self._units.get(node))
        return fold(sent)

    def _pool_over_time(self, node: fx.Node, pool: MaxPool, timed: Tensor) -> Tensor:
        """Pool what arrives in [T, B, ...]; where a receiver decodes, what it decodes is pooled.

        A decoded value is the response at rest plus weighted changes from it, on either side of the pool.
        """
        rule, state = self._plan.pooling_of(node), self._states.get(node, {})
        weights = None if self._before else self._coding.weights(self._done, len(timed))
        if weights is None:
            pooled, self._states[node] = rule.scan(pool, timed, state)
            if self._coding.needs_rest:
                self._at_rest[node] = timed[0], pooled[0]
            return pooled
        before, after = self._at_rest[node]
        weights = weights.to(timed).view(-1, *[1] * (timed.ndim - 1))
        pooled, self._states[node] = rule.scan(pool, (timed - before) * weights, state)
        return after + pooled / weights

    def _pool_of(self, node: fx.Node) -> MaxPool:
        if node not in self._pools:
            self._pools[node] = max_pool_of(self._plan.captured, node)
        return self._pools[node]

    def _count(self, name: str, spikes: Tensor) -> None:
        """Count spikes [T, B, C, ...] of one layer; a negative one counts as a positive one."""
        if self._tally is not None:
            self._tally.add_steps(name, spikes)


def _rest(neuron: Neuron, current: Tensor, steps: int, state: State) -> tuple[Tensor, State, None]:
    """A step in which nobody sends anything."""
    silence = current.new_zeros((steps, *current.shape[1:]))
    return silence, neuron.at_rest(current[0], state), None


def _sum(operation: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Add or subtract; a constant operand is broadcast over time instead of repeated."""
    signals = signals_in([args, kwargs])
    steps = max(signal.steps for signal in signals)
    if len({signal.data.ndim for signal in signals}) > 1 or len(signals) < 2:
        return _affine(operation, None, args, kwargs)
    timed_args, timed_kwargs = map_structure(lambda signal: signal.timed, Signal, (args, kwargs))
    return Signal(operation(*timed_args, **timed_kwargs).flatten(0, 1), steps)


def _constant(operation: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Make a tensor that is as large as a batch; it does not change over time."""

    def one_step(signal: Signal) -> Tensor:
        return signal.data[: signal.data.shape[0] // signal.steps]

    args, kwargs = map_structure(one_step, Signal, (args, kwargs))
    return map_structure(lambda tensor: Signal(tensor, 1), Tensor, operation(*args, **kwargs))


def _step_by_step(operation: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run an operation on one time step after the other, each in the shape that the network's code knows."""
    steps = max(signal.steps for signal in signals_in([args, kwargs]))
    results = []
    for t in range(steps):

        def at(signal: Signal, t: int = t) -> Tensor:
            return signal.timed[t if signal.steps > 1 else 0]

        step_args, step_kwargs = map_structure(at, Signal, (args, kwargs))
        results.append(operation(*step_args, **step_kwargs))
    return _over_time(results)


def _over_time(results: list[Any]) -> Any:
    """Signals from the results of each time step, tensor by tensor."""
    first = results[0]
    if isinstance(first, Tensor):
        return fold(torch.stack(results))
    if isinstance(first, list | tuple):
        return type(first)(_over_time(list(column)) for column in zip(*results, strict=True))
    return first


def _affine(operation: Callable[..., Any], node: fx.Node | None, args: Any, kwargs: Any) -> Any:
    """Run an affine operation on all time steps at once."""
    steps = max(signal.steps for signal in signals_in([args, kwargs]))
    if node is not None and node.target in SHAPE_ARGUMENTS:
        args = (args[0], *with_time(args[1:], args[0].steps))
        kwargs = {key: with_time((value,), args[0].steps)[0] for key, value in kwargs.items()}
    args, kwargs = map_structure(lambda signal: signal.over(steps).data, Signal, (args, kwargs))
    result = operation(*args, **kwargs)
    return map_structure(lambda tensor: Signal(tensor, steps), Tensor, result)


def with_time(shape: tuple[Any, ...], steps: int, images: int = 1) -> tuple[Any, ...]:
    """Arguments of a reshape: a new shape whose batch size counts all time steps; -1 stays -1.

    Args:
        shape: as written for `images` images.
        steps: what so many images become.
        images: how many images.
    """
    first, *rest = shape
    if isinstance(first, list | tuple):
        return (with_time(tuple(first), steps, images), *rest)
    return (first if first == -1 else first * steps // images, *rest)
