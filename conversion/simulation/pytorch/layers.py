"""The reference runner of layers: PyTorch's operations over a chunk of time.

Any device, any precision of PyTorch, any neuron: what other backends are tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from itertools import count
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from conversion.costs.tally import SpikeTally
from conversion.functions.differential import DifferentialTelescope
from conversion.functions.telescope import Telescope
from conversion.graph.nodes import attribute, operation_of, shape_answer
from conversion.graph.operations import SHAPE_ARGUMENTS, Kind
from conversion.graph.unpooling import max_unpool
from conversion.plan.fitted import Fitted
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import max_pool_of
from conversion.plan.sums import Sums
from conversion.pooling import MaxPool, running_sum
from conversion.signals.coding import RATE, Changes
from conversion.signals.memory import sum_over_time
from conversion.signals.signals import (
    Signal,
    Told,
    Total,
    fold,
    map_structure,
    over_time,
    signals_in,
    zip_structure,
)
from conversion.simulation.pytorch import stepping
from conversion.simulation.walk import WalkState

NAME = "pytorch"  # of this backend, and of its only kernel
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class TorchLayers:
    """Runs single operations of one batch.

    Args:
        fitted: what runs; layers may change until they fire.
        images: analog input [B, ...], shown in every step or as the neuron's coding has it.
        progress: shared with the walk.
        tally: counts spikes; None where they are not needed.
        in_short: only what is sent is asked for, so layers may fire step by step; and what counts only by its
            sum over the window is run once, on sums; see `conversion.plan.sums`.
    """

    def __init__(
        self,
        fitted: Fitted,
        images: Tensor,
        progress: WalkState,
        tally: SpikeTally | None = None,
        in_short: bool = False,
    ) -> None:
        self._fitted = fitted
        self._plan = fitted.plan
        self._images = images
        self._progress = progress
        self._tally = tally
        self._sums, self._in_short = (fitted.sums if in_short else Sums()), in_short
        self._coding = fitted.plan.neuron.coding
        self._pools: dict[fx.Node, MaxPool] = {}
        self._over = stepping.read_once(fitted.plan)
        self.factors: dict[fx.Node, Tensor] = {}  # of all spikes of a layer
        self._at_rest: dict[fx.Node, tuple[Tensor, ...]] = {}  # inputs and output of pools at rest

    @property
    def absorbed(self) -> Set[fx.Node]:
        """Nothing runs inside a later operation."""
        return frozenset()

    @property
    def last_use(self) -> Mapping[fx.Node, list[fx.Node]]:
        """Operation -> values that no later operation reads."""
        return self._plan.last_use

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> Any:
        """Value of a node over some steps, from the values of the nodes before it."""
        if node.op == "placeholder":
            return self._presented(steps)
        if node.op == "get_attr":
            return attribute(self._plan.captured, str(node.target))
        args = fx.map_arg(node.args, lambda source: values[source])
        kwargs = fx.map_arg(node.kwargs, lambda source: values[source])
        role = self._plan.roles.get(node)
        if role is None:
            args, kwargs = map_structure(_one_step, Signal, (args, kwargs))
            return operation_of(self._plan.captured, node)(*args, **kwargs)
        if role.kind is Kind.NEURON:
            return self.neuron(node, role.name, signals_in([args, kwargs])[0], steps)
        if node in self._sums.readers and role.kind is not Kind.POOLING:
            if role.kind is Kind.WEIGHTED:
                self._progress.ran[role.name] = NAME
            return _on_sums(operation_of(self._plan.captured, node), args, kwargs, steps)
        if role.kind is Kind.FUNCTION:
            return self._function(node, args, kwargs, steps)
        if role.kind is Kind.UNPOOLING:
            return self._unpool(node, role.name, args)
        if role.kind is Kind.POOLING:
            return self.pool(node, role.name, signals_in([args, kwargs])[0])
        if role.kind is Kind.SHAPE:
            signal = signals_in([args, kwargs])[0]
            like = signal.said if isinstance(signal, Told) else signal.data
            return shape_answer(node, signal.shape, args[1:], kwargs, like)
        if role.kind is Kind.WEIGHTED:
            self._progress.ran[role.name] = NAME
        if role.kind is Kind.CONSTANT:
            return _constant(operation_of(self._plan.captured, node), args, kwargs)
        if role.moved:
            return _step_by_step(operation_of(self._plan.captured, node), args, kwargs)
        if role.kind is Kind.SUM:
            return _sum(operation_of(self._plan.captured, node), args, kwargs)
        return _affine(operation_of(self._plan.captured, node), node, args, kwargs)

    def _presented(self, steps: int) -> Signal:
        """What the network sees of the images; nothing at rest."""
        if self._coding.needs_rest and self._progress.before is not None:
            return Signal(torch.zeros_like(self._images), 1)
        return fold(self._coding.presented(self._images, self._progress.done, steps))

    def neuron(self, node: fx.Node, name: str, current: Signal, steps: int) -> Signal:
        """What a layer of neurons sends for an input current, both in units of the activation."""
        layer = self._fitted.layers[name]
        if node in self._sums:
            return self._of_window(node, name, current, steps)
        plain = self._in_short and self._progress.before is None and node not in self.factors
        if plain and not isinstance(current, Told) and stepping.can_step(layer, current.data):
            return self._in_steps(node, name, current, steps)
        return fold(self.spikes(node, name, current, steps) * layer.threshold)

    def _in_steps(self, node: fx.Node, name: str, current: Signal, steps: int) -> Signal:
        """The same, step by step."""
        self._progress.ran[name] = NAME
        layer, function, telescope = self._fitted.layers[name], self._plan.telescoped(node), None
        if function is not None and isinstance(self._coding, Changes):
            current = self.telescope(node).advance_elementwise(function, current, steps)
        elif function is not None:
            telescope = self.telescope(node), function
        timed = current.timed
        state = self._progress.states.get(node)
        if state is None:
            state = layer.start(timed[0])
        counts = self._tally is not None and self._tally.counts(name)
        kept = node.all_input_nodes[0] in self._progress.constant
        over = not kept and node in self._over
        sent = stepping.send(layer, timed, steps, state, telescope, counts, over)
        self._progress.states[node] = sent.state
        if sent.events is not None:
            self.count(name, sent.events[None])
        return fold(sent.values)

    def _of_window(self, node: fx.Node, name: str, current: Signal, steps: int) -> Signal:
        """What neurons send that need their current's sum alone; its sum, where that is all that counts."""
        self._progress.ran[name] = NAME
        layer = self._fitted.layers[name]
        total = Total.of(current, steps).data
        if layer.offset is not None:
            total = total + layer.offset * steps
        total = total / layer.threshold
        state = layer.start(total)
        if node not in self._sums.senders:
            spikes, _ = layer.neuron.window(total, steps, state)
            self.count(name, layer.neuron.events(spikes))
            return fold(spikes * layer.threshold)
        sent, events = layer.neuron.sent_in_window(total, steps, state)
        self.count(name, events[None])
        return Total(sent * layer.threshold, steps)

    def spikes(self, node: fx.Node, name: str, current: Signal, steps: int) -> Tensor:
        """The same in thresholds, [T, B, ...]."""
        return self.driven(node, name, self.received(node, name, current, steps), steps)

    def driven(self, node: fx.Node, name: str, received: Signal, steps: int) -> Tensor:
        """The same from what a layer receives, with the layer's offset still to come."""
        layer = self._fitted.layers[name]
        timed = received.timed if layer.offset is None else received.timed + layer.offset
        return self.fire(node, name, timed / layer.threshold, steps)

    def current(
        self, node: fx.Node, segment: Sequence[fx.Node], values: dict[fx.Node, Any], steps: int
    ) -> Signal:
        """What flows into a layer of neurons; see `simulation.backend.FittingRunner`."""
        for inner in segment:
            values[inner] = self.evaluate(inner, values, steps)
        return signals_in([values[source] for source in node.all_input_nodes])[0]

    def sent(self, node: fx.Node, name: str, received: Signal, steps: int) -> Signal:
        """What a layer sends for what it received, both in units of the activation."""
        return fold(self.driven(node, name, received, steps) * self._fitted.layers[name].threshold)

    def rate(self, node: fx.Node, layer: SpikingLayer, received: Signal, steps: int) -> Tensor:
        """Mean over time of what a layer would send, [B, C, ...]."""
        current = received.timed
        driven = (current if layer.offset is None else current + layer.offset) / layer.threshold
        spikes, _ = layer.neuron.scan(driven, steps, layer.start(driven[0]))
        return spikes.mean(0) * layer.threshold

    def refit(self, fitted: Fitted) -> None:
        """Go on with layers as they are now."""
        self._fitted = fitted

    def received(self, node: fx.Node, name: str, current: Signal, steps: int) -> Signal:
        """What a layer of neurons turns into spikes: its current, or increments of t F(mean current)."""
        function = self._plan.telescoped(node)
        if function is None and isinstance(current, Told) and self._fitted.layers[name].offset is None:
            return self.telescope(node).follow(current.said.unflatten(0, (steps, -1)))
        if function is None:
            return current
        return self.telescope(node).advance_elementwise(function, current, steps)

    def _function(self, node: fx.Node, args: Any, kwargs: Any, steps: int) -> Any:
        """Signals of a telescoped operation; a constant where nothing that arrives changes over time."""
        operation = operation_of(self._plan.captured, node)
        if all(source in self._progress.constant for source in node.all_input_nodes):
            return _constant(operation, args, kwargs)
        together = not self._plan.roles[node].moved
        sent = self.telescope(node).advance(operation, args, kwargs, steps, together)
        if not self._plan.method.initial.steps:
            return sent
        return map_structure(lambda told: Signal(told.data, told.steps), Told, sent)

    def telescope(self, node: fx.Node) -> Telescope:
        """State of a function, or of that before a layer of neurons."""
        if node not in self._progress.telescopes:
            coding = self._coding
            new = DifferentialTelescope(coding) if isinstance(coding, Changes) else Telescope()
            self._progress.telescopes[node] = new
        return self._progress.telescopes[node]

    def fire(self, node: fx.Node, name: str, current: Tensor, steps: int) -> Tensor:
        """Spikes [T, B, ...] from currents in thresholds, [T, B, ...] or [1, B, ...] if constant."""
        self._progress.ran[name] = NAME
        layer = self._fitted.layers[name]
        state = self._progress.states.get(node)
        if state is None:
            state = layer.start(current[0])
        if self._progress.before is None:
            spikes, self._progress.states[node] = layer.neuron.scan(current, steps, state)
        else:
            spikes, self._progress.states[node], factor = self._progress.before(
                layer.neuron, current, steps, state
            )
            if factor is not None:
                self.factors[node] = factor
        if node in self.factors and self._progress.before is None:
            spikes = spikes * self.factors[node]
        self.count(name, layer.neuron.events(spikes))
        return spikes

    def pool(self, node: fx.Node, name: str, values: Signal) -> Signal:
        """What a max pool sends."""
        self._progress.ran[name] = NAME
        pool = self.pool_of(node)
        if node.all_input_nodes[0] in self._progress.constant:  # the maximum of a constant is constant
            return Signal(pool(values.data), 1)
        pooled = self.pool_over_time(node, pool, values.timed)
        self._count_sent(name, pooled, self._fitted.spike_values[node])
        return Total(sum_over_time(pooled), len(pooled)) if node in self._sums.senders else fold(pooled)

    def _count_sent(self, name: str, sent: Tensor, spike_value: Tensor | None) -> None:
        """Count what a pool sends [T, B, ...]: in spikes of one size, or else events."""
        if self._tally is None:
            return
        if spike_value is None or self._coding is not RATE or not self._plan.neuron.integral:
            self.count(name, (sent != 0).to(sent.dtype))
        else:
            self.count(name, (sent / spike_value).round_().abs_())

    def _unpool(self, node: fx.Node, name: str, args: Any) -> Signal:
        """Values where the running maximum of another signal is: U_t - U_{t-1} with U_t of sums up to t.

        What was sent up to t is then exactly the unpooling of what arrived up to t, as with lossless
        pooling.
        """
        values, source, pool, unpool = args
        steps = max(values.steps, source.steps)
        arriving = [signal.over(steps).timed for signal in (values, source)]
        weights = None if self._progress.before else self._coding.weights(self._progress.done, steps)
        if weights is not None:
            weights = weights.to(arriving[0]).view(-1, *[1] * (arriving[0].ndim - 1))
            arriving = [(x - rest) * weights for x, rest in zip(arriving, self._at_rest[node], strict=False)]
        state = self._progress.states.get(node, {})
        sums, sources = (
            running_sum(arriving[0], state.get("values")),
            running_sum(arriving[1], state.get("source")),
        )
        placed = max_unpool(sums.flatten(0, 1), sources.flatten(0, 1), pool, unpool).unflatten(0, (steps, -1))
        before = state["placed"] if state else torch.zeros_like(placed[0])
        sent = torch.diff(placed, dim=0, prepend=before[None])
        self._progress.states[node] = {"values": sums[-1], "source": sources[-1], "placed": placed[-1]}
        if weights is not None:
            sent = self._at_rest[node][2] + sent / weights
        elif self._coding.needs_rest:
            self._at_rest[node] = arriving[0][0], arriving[1][0], sent[0]
        self._count_sent(name, sent, self._fitted.spike_values.get(node))
        return fold(sent)

    def pool_over_time(self, node: fx.Node, pool: MaxPool, timed: Tensor) -> Tensor:
        """Pool what arrives in [T, B, ...]; where a receiver decodes, what it decodes is pooled.

        A decoded value is the response at rest plus weighted changes from it, on either side of the pool.
        """
        rule, state = self._plan.pooling_of(node), self._progress.states.get(node, {})
        weights = None if self._progress.before else self._coding.weights(self._progress.done, len(timed))
        if weights is None:
            pooled, self._progress.states[node] = rule.scan(pool, timed, state)
            if self._coding.needs_rest:
                self._at_rest[node] = timed[0], pooled[0]
            return pooled
        before, after = self._at_rest[node]
        weights = weights.to(timed).view(-1, *[1] * (timed.ndim - 1))
        pooled, self._progress.states[node] = rule.scan(pool, (timed - before) * weights, state)
        return after + pooled / weights

    def pool_of(self, node: fx.Node) -> MaxPool:
        """Max pooling of a node."""
        if node not in self._pools:
            self._pools[node] = max_pool_of(self._plan.captured, node)
        return self._pools[node]

    def count(self, name: str, spikes: Tensor) -> None:
        """Count events [T, B, C, ...] of one layer, which are not negative."""
        if self._tally is not None:
            self._tally.add_events(name, spikes)


def _sum(operation: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Add or subtract; a constant operand is broadcast over time instead of repeated."""
    signals = signals_in([args, kwargs])
    if all(isinstance(signal, Told) for signal in signals):
        return _affine(operation, None, args, kwargs)
    steps = max(signal.steps for signal in signals)
    if len({signal.data.ndim for signal in signals}) > 1 or len(signals) < 2:
        return _affine(operation, None, args, kwargs)
    timed_args, timed_kwargs = map_structure(lambda signal: signal.timed, Signal, (args, kwargs))
    return Signal(operation(*timed_args, **timed_kwargs).flatten(0, 1), steps)


def _constant(operation: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Make a tensor that is as large as a batch; it does not change over time."""
    args, kwargs = map_structure(_one_step, Signal, (args, kwargs))
    return map_structure(lambda tensor: Signal(tensor, 1), Tensor, operation(*args, **kwargs))


def _one_step(signal: Signal) -> Tensor:
    """A value in its first time step."""
    return signal.data[: signal.data.shape[0] // signal.steps]


def _on_sums(operation: Callable[..., Any], args: Any, kwargs: Any, steps: int) -> Any:
    """Run an affine operation f once on sums over T steps: that of f is f(sums) + (T - 1) f(0)."""

    def on(values: Callable[[Signal], Tensor]) -> Any:
        new_args, new_kwargs = map_structure(values, Signal, (args, kwargs))
        return operation(*new_args, **new_kwargs)

    result = on(lambda signal: Total.of(signal, steps).data)
    if isinstance(operation, (nn.Linear, *_CONVOLUTIONS)):  # what they give for nothing is known
        bias = torch.zeros(()) if operation.bias is None else operation.bias
        after = 0 if isinstance(operation, nn.Linear) else result.ndim - 2
        at_zero = bias.view(-1, *[1] * after).expand_as(result)
    else:
        at_zero = on(lambda signal: torch.zeros_like(signal.data[: len(signal.data) // signal.steps]))
    if steps > 1:
        result = zip_structure(lambda total, zero: total + zero * (steps - 1), result, at_zero)
    return map_structure(lambda tensor: Total(tensor, steps), Tensor, result)


def _step_by_step(operation: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run an operation on one time step after the other, each in the shape that the network's code knows."""
    steps = max(signal.steps for signal in signals_in([args, kwargs]))
    results = []
    for t in range(steps):

        def at(signal: Signal, t: int = t) -> Tensor:
            return signal.timed[t if signal.steps > 1 else 0]

        step_args, step_kwargs = map_structure(at, Signal, (args, kwargs))
        results.append(operation(*step_args, **step_kwargs))
    return over_time(results)


def _affine(operation: Callable[..., Any], node: fx.Node | None, args: Any, kwargs: Any) -> Any:
    """Run an affine operation on all time steps at once; on what signals have said, where all are `Told`."""
    signals = signals_in([args, kwargs])
    steps = max(signal.steps for signal in signals)
    if node is not None and node.target in SHAPE_ARGUMENTS:
        args = (args[0], *with_time(args[1:], args[0].steps))
        kwargs = {key: with_time((value,), args[0].steps)[0] for key, value in kwargs.items()}

    def on(values: Callable[[Signal], Tensor]) -> Any:
        found_args, found_kwargs = map_structure(values, Signal, (args, kwargs))
        return operation(*found_args, **found_kwargs)

    if all(isinstance(signal, Told) for signal in signals):
        return _told(lambda: on(lambda signal: signal.data), on(lambda told: cast(Told, told).said), steps)
    result = on(lambda signal: signal.over(steps).data)
    return map_structure(lambda tensor: Signal(tensor, steps), Tensor, result)


def _told(values: Callable[[], Any], said: Any, steps: int) -> Any:
    """Signals, in the structure of what they have said; their values are computed together, if at all."""
    found: list[Tensor] = []
    places = count()

    def value(place: int) -> Tensor:
        if not found:
            map_structure(found.append, Tensor, values())
        return found[place]

    return map_structure(lambda tensor: Told(tensor, steps, partial(value, next(places))), Tensor, said)


def with_time(shape: tuple[Any, ...], rows: int, written_for: int = 1) -> tuple[Any, ...]:
    """Arguments of a reshape for a batch axis that also holds time; a size of -1 stays -1.

    Args:
        shape: as the network's code has it.
        rows: rows of the batch axis that there are now.
        written_for: rows that the code has in mind.
    """
    first, *rest = shape
    if isinstance(first, list | tuple):
        return (with_time(tuple(first), rows, written_for), *rest)
    return (first if first == -1 else first * rows // written_for, *rest)
