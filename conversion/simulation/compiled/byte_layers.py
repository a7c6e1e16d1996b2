"""The runner of layers on CPUs with a C compiler: same mathematics, fused layers, integer synapses.

Spikes travel as bytes, and neurons are fused with the sums that drive them (see `fused.fusion`).
What does not fit the kernel runs as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import torch
from torch import Tensor, fx

from conversion.costs.tally import SpikeTally
from conversion.graph.nodes import operation_of
from conversion.graph.operations import SHAPE_ARGUMENTS, Kind
from conversion.plan.layer import SpikingLayer
from conversion.signals.coding import RATE
from conversion.signals.signals import (
    Signal,
    Spikes,
    Told,
    Total,
    map_structure,
    signals_in,
    zip_structure,
)
from conversion.simulation.compiled.buffers import Buffers
from conversion.simulation.compiled.hearing import Hearing
from conversion.simulation.compiled.layers import Summand, Synapses, channels_last, filled, run_layer
from conversion.simulation.compiled.pooling import can_pool, pool_bytes
from conversion.simulation.compiled.population import Population
from conversion.simulation.compiled.prepared import Prepared
from conversion.simulation.compiled.rows import inflow
from conversion.simulation.fused.firing import (
    MOST_IN_BYTES,
    SIZES,
    Firing,
    firing_of,
    given,
    without_bias,
)
from conversion.simulation.fused.fusion import Fusion
from conversion.simulation.pytorch.layers import NAME as PYTORCH
from conversion.simulation.pytorch.layers import TorchLayers, with_time
from conversion.simulation.walk import WalkState

BYTES = "bytes"  # name of this kernel
SUMMED_IN_BYTES = f"{BYTES}+{PYTORCH}"  # it adds up what flows into neurons, which fire in PyTorch
SILENT = -torch.inf  # membrane of a neuron that never fires

# Operations that move integers as they move floats.
_MOVES = {"getitem", "pad", "flatten", "view", "reshape", "permute", "cat", "concat", "concatenate"}
_MOVES |= {"narrow", "unbind", "movedim", "swapaxes", "unflatten", "channel_shuffle", "ChannelShuffle"}
_MOVES |= {"flip", "roll", "select", "squeeze", "unsqueeze", "stack", "index_select", "repeat_interleave"}
_MOVES |= {"chunk", "split", "transpose", "contiguous", "dropout", "dropout2d"}
_MOVES |= {"Dropout", "Dropout2d", "Identity", "Flatten", "ZeroPad2d"}

Layout = Callable[[str, Tensor], Tensor]  # (entry of a state, [B, C, ...]) -> as a kernel has it


class ByteLayers:
    """Runs layers in the byte kernel where they fit it.

    Args:
        prepared: fusions and packed weights.
        reference: runs everything else.
        progress: shared with the walk and with `reference`.
        tally: counts spikes.
        buffers: where memory of signals comes from; parts of a batch that take turns share it.
    """

    def __init__(
        self,
        prepared: Prepared,
        reference: TorchLayers,
        progress: WalkState,
        tally: SpikeTally | None,
        buffers: Buffers,
    ) -> None:
        self.prepared = prepared
        self.reference = reference
        self._plan = prepared.fitted.plan
        self._progress = progress
        self._tally = tally
        self._buffers = buffers
        self._coding = self._plan.neuron.coding
        self._signed = prepared.least < 0
        self._populations: dict[fx.Node, Population] = {}
        self._hearing = Hearing(reference, self._coding, buffers)

    @property
    def _spike_values(self) -> dict[fx.Node, Tensor | None]:
        return self.prepared.values

    @property
    def absorbed(self) -> Set[fx.Node]:
        """Operations that run inside a fused layer."""
        return self.prepared.absorbed

    @property
    def last_use(self) -> Mapping[fx.Node, list[fx.Node]]:
        """Operation -> values that no later operation reads."""
        return self.prepared.last_use

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> Any:
        """Value of a node over some steps, from the values of the nodes before it."""
        fusion = self.prepared.fusions.get(node)
        if fusion is not None:
            return self.fused(node, fusion, values, steps)
        role = self._plan.roles.get(node)
        if role is not None and role.kind is Kind.FUNCTION:
            return self.reference.evaluate(node, self._heard(node, values, steps), steps)
        if node in self.prepared.sums.readers:
            return self.reference.evaluate(node, values, steps)
        source = values[node.all_input_nodes[0]] if node in self.prepared.synapses else None
        if isinstance(source, Spikes):
            synapses = self.prepared.synapses[node]
            shape = synapses.output_shape(source.shape)
            currents, _ = run_layer(shape, source.steps, (source, synapses), (), None, self._buffers)
            self._progress.ran[self._plan.roles[node].name] = BYTES
            return Signal(currents, source.steps)
        if self.moves(node):
            moved = self.moved(node, values)
            if moved is not None:
                return moved
        if role is not None and role.kind is Kind.POOLING:
            sent = self.pool(node, role.name, self.arriving(node, values))
            return Total.of(sent, steps) if node in self.prepared.sums.senders else sent
        if node in self.prepared.sums.senders:
            return self.reference.evaluate(node, values, steps)
        if role is not None and role.kind is Kind.NEURON and self._in_bytes(node, role.name):
            return self._fired(node, role.name, self.arriving(node, values), steps)
        return self.reference.evaluate(node, values, steps)

    def _in_bytes(self, node: fx.Node, name: str) -> bool:
        """True for neurons that fire in PyTorch and whose spikes the kernels can take."""
        known = self._spike_values.get(node) is not None and len(self._plan.shapes[node]) in (2, 4)
        return known and self._carrier(self.prepared.fitted.layers[name]) is not torch.float32

    def _carrier(self, layer: SpikingLayer) -> torch.dtype:
        """What holds the spikes of a layer."""
        return self.prepared.carriers[layer.neuron]

    def _fired(self, node: fx.Node, name: str, current: Signal, steps: int) -> Spikes:
        """What neurons send that fire in PyTorch, in bytes."""
        layer = self.prepared.fitted.layers[name]
        sent = self.reference.spikes(node, name, current, steps).flatten(0, 1).to(self._carrier(layer))
        return Spikes(sent, steps, layer.threshold, self._signed)

    def arriving(self, node: fx.Node, values: dict[fx.Node, Any]) -> Signal:
        """The first signal that a node reads."""
        return signals_in(fx.map_arg([node.args, node.kwargs], lambda source: values[source]))[0]

    def moves(self, node: fx.Node) -> bool:
        """True for an operation that moves spikes of known sizes, as they move within a batch."""
        role = self._plan.roles.get(node)
        moves = role is not None and role.kind is Kind.ROUTING and not role.moved
        return moves and node in self.prepared.fitted.moved_values

    def name_of(self, node: fx.Node) -> str:
        """Name of an operation: of a function, a method, or the type of a module."""
        if node.op == "call_module":
            return type(self._plan.captured.get_submodule(str(node.target))).__name__
        return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")

    def moved(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """Result of an operation that only moves spikes, still as spikes; None if it cannot."""
        name = self.name_of(node)
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: values[source])
        signals = signals_in([args, kwargs])
        if name not in _MOVES or not all(isinstance(signal, Spikes) for signal in signals):
            return None
        spikes = [signal for signal in signals if isinstance(signal, Spikes)]
        like = spikes[0]
        if not all(like.travels_with(other) for other in spikes):
            return None
        if node.target in SHAPE_ARGUMENTS:
            args = (args[0], *with_time(args[1:], len(like.carrier), like.shape[0]))
        args, kwargs = map_structure(lambda spikes: spikes.carrier, Spikes, (args, kwargs))
        values_there = self.prepared.fitted.moved_values[node]
        result = operation_of(self._plan.captured, node)(*args, **kwargs)
        if isinstance(values_there, Tensor):
            return map_structure(lambda carrier: like.moved(carrier, values_there), Tensor, result)
        return zip_structure(like.moved, result, values_there)

    def fused(self, node: fx.Node, fusion: Fusion, values: dict[fx.Node, Any], steps: int) -> Signal:
        """A neuron layer with everything that flows into it."""
        if fusion.shapeless:
            return self._in_rows(node, fusion, values, steps)
        name = self._plan.roles[node].name
        layer = self.prepared.fitted.layers[name]
        between = fusion.telescoped
        outside = between is not None and not between.firing.inside
        threshold = torch.ones(1) if outside else layer.threshold  # units of what is summed
        told = self._told(layer, fusion, values)
        addends = [_said(values[addend]) if told else values[addend] for addend in fusion.addends]
        summands = [self.summand(addend, threshold, node) for addend in addends]
        drive: tuple[Spikes, Synapses] | None = None
        if fusion.synapses is not None:
            source = values[fusion.synapses.all_input_nodes[0]]
            if isinstance(source, Spikes):
                drive = (source, self.prepared.synapses[fusion.synapses])
                self._progress.ran[self._plan.roles[fusion.synapses].name] = BYTES
            else:  # a constant on the place of spikes, such as a pooled image
                dense = self.dense(fusion.synapses, source)
                summands.append(self.summand(dense, threshold, node))
        shape = drive[1].output_shape(drive[0].shape) if drive else list(summands[0].value.shape)
        bias = channel_offset(layer)
        if layer.offset is not None and bias is None:
            constant = layer.offset.expand(shape).contiguous()
            summands.append(self.summand(Signal(constant, 1), threshold, node))
        firing = self.firing(layer, fusion, told)
        if firing is not None:
            neurons = self.population(node, shape, layer, fusion, firing, layout_of(shape))
            bias = more_bias(bias, neurons.next_bias(steps))
            if between is not None and outside:
                if told:
                    said = summands[0].value.data
                else:
                    layout = layout_of(shape)
                    said = self._hearing.means(node, 0, shape, steps, shape, layout, summands, drive)
                answer = Signal(between.function(said), steps)
                summands, drive = [self.summand(answer, layer.threshold, node)], None
                threshold = layer.threshold
            value = threshold.flatten() if self._carrier(layer) is torch.float32 else None
            spikes, counts = run_layer(shape, steps, drive, summands, neurons, self._buffers, bias, value)
            assert counts is not None
            self._progress.ran[name] = BYTES
            if value is not None:
                as_floats = Signal(spikes, steps)
                self.add_to_tally(name, counts, as_floats, layer)
                return as_floats
            sent = Spikes(spikes, steps, threshold, self._signed)
            self.add_to_tally(name, counts, sent, None if firing.counted == SIZES else layer)
            if node in self.prepared.last and self._coding is RATE:
                return Signal(self._mean(sent), 1)  # everything that follows is affine: the mean is enough
            return sent
        currents, _ = run_layer(shape, steps, drive, summands, None, self._buffers, bias)
        if between is None:
            fired = self.reference.fire(node, name, currents.unflatten(0, (steps, -1)), steps)
        else:  # at rest
            fired = self.reference.spikes(node, name, Signal(currents, steps), steps)
        self._progress.ran[name] = SUMMED_IN_BYTES
        carrier = self._carrier(layer)
        if carrier is torch.float32:
            return Signal((fired * threshold).flatten(0, 1), steps)
        return Spikes(fired.flatten(0, 1).to(carrier), steps, threshold, self._signed)

    def _in_rows(self, node: fx.Node, fusion: Fusion, values: dict[fx.Node, Any], steps: int) -> Signal:
        """Neurons of any shape."""
        if self._progress.before is not None:
            at_rest: Signal = self.reference.evaluate(node, values, steps)
            return at_rest
        name, between = self._plan.roles[node].name, fusion.telescoped
        layer = self.prepared.fitted.layers[name]
        arriving: Signal = values[fusion.addends[0]]
        told = self._told(layer, fusion, values)
        if not told and isinstance(arriving, Told):
            arriving = Signal(arriving.data, arriving.steps)
        rows = self._hearing.rows(node, arriving)
        threshold = rows.spread(layer.threshold)
        value = rows.signal(arriving)
        shape = list(value.shape)
        if between is not None and not between.firing.inside:
            said = (
                arriving if isinstance(arriving, Told) else self._hearing.told(node, 0, arriving, rows, steps)
            )
            value = Signal(rows(between.function(said.said)), steps)
        summands = [inflow(value, threshold)]
        if layer.offset is not None:
            offset = Signal(rows(layer.offset.expand(shape[0], *rows.shape)), 1)
            summands.append(inflow(offset, threshold))
        firing = self.firing(layer, fusion, told)
        assert firing is not None
        there = [shape[0], *rows.shape]
        neurons = self.population(node, there, layer, fusion, firing, rows.state)
        in_floats = self._carrier(layer) is torch.float32
        of_one = threshold.flatten() if in_floats else None
        spikes, counts = run_layer(shape, steps, None, summands, neurons, self._buffers, None, of_one)
        assert counts is not None
        self._progress.ran[name] = BYTES
        events = rows.back(counts[None])[0]
        if in_floats:
            as_floats = Signal(rows.back(spikes), steps)
            self.add_to_tally(name, events, as_floats, layer)
            return as_floats
        sent = Spikes(rows.back(spikes), steps, layer.threshold, self._signed)
        self.add_to_tally(name, events, sent, None if firing.counted == SIZES else layer)
        return sent

    def _heard(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> dict[fx.Node, Any]:
        """The values that a function reads, with what they have said so far."""
        if self._progress.before is not None or self._plan.method.initial.steps:
            return values
        return self._hearing.heard(node, values, self._progress.constant, steps)

    def _told(self, layer: SpikingLayer, fusion: Fusion, values: dict[fx.Node, Any]) -> bool:
        """True where all that flows in is known by what it has said, and nothing is added to it."""
        if fusion.synapses is not None or layer.offset is not None or self._progress.before is not None:
            return False
        if fusion.telescoped is not None and (fusion.telescoped.firing.inside or len(fusion.addends) > 1):
            return False
        return all(isinstance(values[addend], Told) for addend in fusion.addends)

    def dense(self, node: fx.Node, source: Signal) -> Signal:
        """Output of a layer with weights for a signal that is no spikes, in PyTorch."""
        self._progress.ran[self._plan.roles[node].name] = PYTORCH
        return Signal(operation_of(self._plan.captured, node)(source.data), source.steps)

    def add_to_tally(
        self, name: str, counts: Tensor, sent: Signal, layer: SpikingLayer | None = None
    ) -> None:
        """Count spikes of one layer.

        Args:
            name: of the layer.
            counts: events summed over time and images by the kernel, [C, ...].
            sent: what was sent, for layers that count each frame of an image apart.
            layer: whose neurons count events in their own way; None where spikes count by their size.
        """
        if self._tally is None:
            return
        if self._tally.frames(name) == 1:
            self._tally.add(name, counts)
            return
        if layer is not None:
            in_thresholds = (sent.data / layer.threshold).unflatten(0, (sent.steps, -1))
            if layer.neuron.integral:
                in_thresholds = in_thresholds.round()
            self._tally.add_steps(name, layer.neuron.events(in_thresholds))
            return
        assert isinstance(sent, Spikes)
        self._tally.add_steps(name, sent.counts.unflatten(0, (sent.steps, -1)).int())

    def _mean(self, spikes: Spikes) -> Tensor:
        """Mean over time of what spikes stand for, [B, C, ...]."""
        most = max(self.prepared.most, -self.prepared.least) * spikes.steps
        assert spikes.counts.dtype is torch.int8 or most > MOST_IN_BYTES
        in_memory = spikes.counts.movedim(1, -1).unflatten(0, (spikes.steps, -1))  # where sums are vectorised
        sums = in_memory.sum(0, dtype=torch.int8 if most <= MOST_IN_BYTES else torch.int32)
        mean: Tensor = sums.movedim(-1, 1) / spikes.steps * spikes.spike_value
        return mean

    def firing(self, layer: SpikingLayer, fusion: Fusion | None = None, told: bool = False) -> Firing | None:
        """How the kernel fires these neurons; None if it does not, as in steps before the read-out.

        Args:
            layer: of neurons.
            fusion: with what flows into it; None where that is known to be a current.
            told: what flows in is known by what it has said.
        """
        if self._progress.before is not None:
            return None
        if fusion is not None and fusion.telescoped is not None:
            return fusion.telescoped.firing
        firing = firing_of(without_bias(layer.neuron), layer.capped)
        return given(firing) if firing is not None and told else firing

    def population(
        self,
        node: fx.Node,
        shape: list[int],
        layer: SpikingLayer,
        fusion: Fusion,
        firing: Firing,
        layout: Layout,
    ) -> Population:
        """Neurons of a layer as the kernel keeps them, first as steps before the read-out left them."""
        if node not in self._populations:
            state = self._progress.states.pop(node, None) or layer.start(torch.zeros(1).expand(shape))
            if node in self.reference.factors:
                state = state | {"v": state["v"].masked_fill(self.reference.factors[node] == 0, SILENT)}
            if fusion.telescoped is not None:
                ceiling = (fusion.telescoped.ceiling / layer.threshold).expand(shape)
                state = (
                    state | {"ceiling": ceiling} | dict.fromkeys(("arrived", "answer"), torch.zeros(shape))
                )
            self._populations[node] = Population.of(firing, state, layout, layer.neuron, self._coding)
        return self._populations[node]

    def summand(self, value: Signal, threshold: Tensor, node: fx.Node) -> Summand:
        """A value that flows into a layer, in its thresholds."""
        shape = self._plan.shapes[node]
        channels = shape[-1] if len(shape) == 3 else shape[1]
        scale = (1.0 / threshold.flatten()).expand(channels)
        if isinstance(value, Spikes) and value.spike_value.numel() not in (1, channels):
            value = Signal(value.data, value.steps)  # sizes that differ within a channel
        if isinstance(value, Spikes):
            scale = scale * value.spike_value.flatten().expand(channels)
        return Summand(value, scale.contiguous())

    def pool(self, node: fx.Node, name: str, values: Signal) -> Signal:
        """What a max pool sends."""
        spike_value = self._spike_values[node]
        if not isinstance(values, Spikes) or spike_value is None or self._coding is not RATE:
            return self.reference.pool(node, name, values)
        pool, rule = self.reference.pool_of(node), self._plan.pooling_of(node)
        if can_pool(rule, pool, values) and self._progress.before is None:
            state = self._progress.states.setdefault(node, {})
            self._progress.ran[name] = BYTES
            sent, counts = pool_bytes(rule, pool, values, spike_value, state, self._buffers)
            self.add_to_tally(name, counts, sent)
            return sent
        timed = values.counts.float().unflatten(0, (values.steps, -1))  # exact: integers
        pooled = self.reference.pool_over_time(node, pool, timed)
        self._progress.ran[name] = PYTORCH
        self.reference.count(name, pooled.abs())
        return Spikes(pooled.flatten(0, 1).to(values.counts.dtype), values.steps, spike_value, self._signed)


def _said(value: Signal) -> Signal:
    return Signal(value.said, value.steps) if isinstance(value, Told) else value


def channel_offset(layer: SpikingLayer) -> Tensor | None:
    """Constant current of each channel in thresholds, [1, C] or [1, 1]; None: none, or one a neuron."""
    if layer.offset is None or layer.offset[0, :1].numel() > 1:
        return None
    return (layer.offset / layer.threshold).reshape(1, -1)


def more_bias(bias: Tensor | None, timed: Tensor | None) -> Tensor | None:
    """Bias of all steps [1, C] and of each [T, C] together."""
    if timed is None or bias is None:
        return bias if timed is None else timed
    return timed + bias


def layout_of(shape: Sequence[int]) -> Layout:
    """How the kernel has states of neurons: tokens [B, L, C] have their channels last already."""
    return _as_it_is if len(shape) == 3 else _channels_last


def _as_it_is(name: str, state: Tensor) -> Tensor:
    """A state of neurons of tokens [B, L, C] as the kernel has it."""
    return channels_last(state, filled(state.shape[-1]))[:, :, 0].clone()


def _channels_last(name: str, state: Tensor) -> Tensor:
    """A state of neurons [B, C, ...] as the kernel has it, [B, H, W, C]."""
    return channels_last(state, filled(state.shape[1])).clone()
