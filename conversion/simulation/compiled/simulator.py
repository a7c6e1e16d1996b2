"""The simulator on CPUs with a C compiler: same mathematics, fused layers, integer synapses.

Spikes travel as bytes, and neurons are fused with the sums that drive them (see `fusion`).
What does not fit the kernel runs as in `Simulation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from conversion.costs.tally import SpikeTally
from conversion.graph.nodes import last_uses, operation_of
from conversion.graph.operations import SHAPE_ARGUMENTS, Kind
from conversion.neurons import Neuron
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan, last_sources
from conversion.signals.coding import RATE
from conversion.signals.signals import Signal, Spikes, map_structure, signals_in
from conversion.simulation.compiled.buffers import Buffers
from conversion.simulation.compiled.layers import Summand, Synapses, pack, run_layer
from conversion.simulation.compiled.native import kernel
from conversion.simulation.compiled.pooling import fits, pool_bytes
from conversion.simulation.compiled.tables import Tables
from conversion.simulation.fused.firing import Firing, Population, firing_of, range_of, spikes_of
from conversion.simulation.fused.fixed_point import Precision
from conversion.simulation.fused.fusion import Fusion, find_fusions, is_spike_driven
from conversion.simulation.pytorch.simulator import Simulation, with_time

MOST_IN_BYTES = 127  # spikes of one neuron in one step
SILENT = -torch.inf  # membrane of a neuron that never fires

# Operations that move integers as they move floats.
_MOVES = {"getitem", "pad", "flatten", "view", "reshape", "permute", "cat", "concat", "concatenate"}
_MOVES |= {"chunk", "split", "contiguous", "dropout", "dropout2d"}
_MOVES |= {"Dropout", "Dropout2d", "Identity", "Flatten", "ZeroPad2d"}


class Prepared:
    """What all batches share: fusions and packed weights, for the current weights and thresholds."""

    def __init__(
        self,
        plan: Plan,
        layers: Mapping[str, SpikingLayer],
        units: dict[fx.Node, Tensor | None],
        precision: Precision,
    ) -> None:
        self.precision = precision
        self.least, self.most = range_of(layer.neuron for layer in layers.values())
        self.fusions = find_fusions(plan, units)
        self.absorbed = frozenset(node for fusion in self.fusions.values() for node in fusion.absorbed)
        run_by = {neuron: fusion.absorbed for neuron, fusion in self.fusions.items()}
        self.last_use = last_uses(plan.captured.graph, run_by)
        self.synapses: dict[fx.Node, Synapses] = {}
        for neuron, fusion in self.fusions.items():
            if fusion.synapses is not None:
                self._pack(plan, units, fusion.synapses, layers[plan.roles[neuron].name].threshold)
        for node in plan.nodes_of(Kind.WEIGHTED):
            if node not in self.absorbed and is_spike_driven(plan, units, node):
                self._pack(plan, units, node, torch.ones(1))
        self.drivers = frozenset(node.all_input_nodes[0] for node in self.synapses)
        self.last = last_sources(plan)
        self.tables: dict[fx.Node, Tables] = {}  # made when first used

    def _pack(
        self, plan: Plan, units: dict[fx.Node, Tensor | None], node: fx.Node, threshold: Tensor
    ) -> None:
        unit = units[node.all_input_nodes[0]]
        assert unit is not None
        self.synapses[node] = pack(
            plan.captured.get_submodule(str(node.target)),
            unit,
            threshold,
            self.precision,
            self.most,
            self.least,
        )


def available(images: Tensor) -> bool:
    """True for float32 images on a CPU with a C compiler."""
    return images.device.type == "cpu" and images.dtype == torch.float32 and kernel() is not None


def fits_bytes(neuron: Neuron) -> bool:
    """True where everything that is sent is a whole number of thresholds in a signed byte."""
    least, most = spikes_of(neuron)
    return neuron.integral and most <= MOST_IN_BYTES and least >= -MOST_IN_BYTES


class CompiledSimulation(Simulation):
    """A simulation whose layers run in the kernel where they fit it.

    Args:
        plan, layers, units, images, tally: as for `Simulation`.
        prepared: fusions and packed weights of this plan and these layers.
        buffers: where memory of signals comes from; simulations that take turns share it.
    """

    def __init__(
        self,
        plan: Plan,
        layers: Mapping[str, SpikingLayer],
        units: dict[fx.Node, Tensor | None],
        images: Tensor,
        prepared: Prepared,
        tally: SpikeTally | None = None,
        buffers: Buffers | None = None,
    ) -> None:
        super().__init__(plan, layers, units, images, tally)
        self._buffers = buffers or Buffers()
        self._prepared = prepared
        self._absorbed = prepared.absorbed
        self._last_use = prepared.last_use
        self._signed = prepared.least < 0
        self._populations: dict[fx.Node, Population] = {}

    def _evaluate(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> Any:
        fusion = self._prepared.fusions.get(node)
        if fusion is not None:
            return self._fused(node, fusion, values, steps)
        role = self._plan.roles.get(node)
        if node in self._prepared.synapses:
            source = values[node.all_input_nodes[0]]
            if isinstance(source, Spikes):
                synapses = self._prepared.synapses[node]
                shape = synapses.output_shape(source.shape)
                currents, _ = run_layer(shape, source.steps, (source, synapses), (), None, self._buffers)
                return Signal(currents, source.steps)
        if (
            role is not None
            and role.kind is Kind.ROUTING
            and not role.moved
            and self._units.get(node) is not None
        ):
            moved = self._moved(node, values)
            if moved is not None:
                return moved
        return super()._evaluate(node, values, steps)

    def _name_of(self, node: fx.Node) -> str:
        """Name of an operation: of a function, a method, or the type of a module."""
        if node.op == "call_module":
            return type(self._plan.captured.get_submodule(str(node.target))).__name__
        return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")

    def _moved(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """Result of an operation that only moves spikes, still as spikes; None if it cannot."""
        name = self._name_of(node)
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
        unit = self._units[node]
        assert unit is not None
        result = operation_of(self._plan.captured, node)(*args, **kwargs)
        return map_structure(lambda carrier: like.moved(carrier, unit), Tensor, result)

    def _fused(self, node: fx.Node, fusion: Fusion, values: dict[fx.Node, Any], steps: int) -> Signal:
        """A neuron layer with everything that flows into it."""
        name = self._plan.roles[node].name
        layer = self._layers[name]
        threshold = layer.threshold
        summands = [self._summand(values[addend], threshold, node) for addend in fusion.addends]
        drive: tuple[Spikes, Synapses] | None = None
        if fusion.synapses is not None:
            source = values[fusion.synapses.all_input_nodes[0]]
            if isinstance(source, Spikes):
                drive = (source, self._prepared.synapses[fusion.synapses])
            else:  # a constant on the place of spikes, such as a pooled image
                dense = operation_of(self._plan.captured, fusion.synapses)(source.data)
                summands.append(self._summand(Signal(dense, source.steps), threshold, node))
        shape = drive[1].output_shape(drive[0].shape) if drive else list(summands[0].value.shape)
        if layer.offset is not None:
            constant = layer.offset.expand(shape).contiguous()
            summands.append(self._summand(Signal(constant, 1), threshold, node))
        firing = self._firing(layer)
        if firing is not None:
            neurons = self._population(node, shape, layer, firing)
            spikes, counts = run_layer(shape, steps, drive, summands, neurons, self._buffers)
            assert counts is not None
            sent = Spikes(spikes, steps, threshold, self._signed)
            self._add_to_tally(name, counts, sent, firing.graded)
            if node in self._prepared.last and self._coding is RATE:
                return Signal(self._mean(sent), 1)  # everything that follows is affine: the mean is enough
            return sent
        currents, _ = run_layer(shape, steps, drive, summands, None, self._buffers)
        fired = self._fire(node, name, currents.unflatten(0, (steps, -1)), steps)
        if not fits_bytes(layer.neuron):
            return Signal((fired * threshold).flatten(0, 1), steps)
        return Spikes(fired.flatten(0, 1).to(torch.int8), steps, threshold, self._signed)

    def _add_to_tally(self, name: str, counts: Tensor, sent: Spikes, graded: bool = False) -> None:
        """Count spikes of one layer.

        Args:
            name: of the layer.
            counts: summed over time and images by the kernel, [C, ...].
            sent: the spikes themselves, for layers that count each frame of an image apart.
            graded: each counts as one, whatever its size.
        """
        if self._tally is None:
            return
        if self._tally.frames(name) == 1:
            self._tally.add(name, counts)
            return
        timed = sent.counts.unflatten(0, (sent.steps, -1))
        self._tally.add_steps(name, (timed != 0).int() if graded else timed.int())

    def _mean(self, spikes: Spikes) -> Tensor:
        """Mean over time of what spikes stand for, [B, C, ...]."""
        most = max(self._prepared.most, -self._prepared.least) * spikes.steps
        in_memory = spikes.counts.movedim(1, -1).unflatten(0, (spikes.steps, -1))  # where sums are vectorised
        sums = in_memory.sum(0, dtype=torch.int8 if most <= MOST_IN_BYTES else torch.int32)
        return sums.movedim(-1, 1) / spikes.steps * spikes.unit

    def _firing(self, layer: SpikingLayer) -> Firing | None:
        """How the kernel fires these neurons; None if it does not, as in steps before the read-out."""
        return firing_of(layer.neuron) if self._before is None and not layer.capped else None

    def _population(self, node: fx.Node, shape: list[int], layer: SpikingLayer, firing: Firing) -> Population:
        """Neurons of a layer as the kernel keeps them, first as steps before the read-out left them."""
        if node not in self._populations:
            state = self._states.pop(node, None) or layer.neuron.start(layer.initial.expand(shape))
            if node in self._factors:
                state = state | {"v": state["v"].masked_fill(self._factors[node] == 0, SILENT)}
            self._populations[node] = Population.of(firing, state, self._layout)
        return self._populations[node]

    def _layout(self, name: str, state: Tensor) -> Tensor:
        """A state of neurons [B, C, ...] as the kernel has it, [B, ..., C]."""
        return state.movedim(1, -1).clone(memory_format=torch.contiguous_format)

    def _summand(self, value: Signal, threshold: Tensor, node: fx.Node) -> Summand:
        channels = self._plan.shapes[node][1]
        scale = (1.0 / threshold.flatten()).expand(channels)
        if isinstance(value, Spikes):
            scale = scale * value.unit.flatten().expand(channels)
        return Summand(value, scale.contiguous())

    def _pool(self, node: fx.Node, name: str, values: Signal) -> Signal:
        unit = self._units[node]
        if not isinstance(values, Spikes) or unit is None or self._coding is not RATE:
            return super()._pool(node, name, values)
        pool, rule = self._pool_of(node), self._plan.pooling_of(node)
        if fits(rule, pool, values) and self._before is None:
            state = self._states.setdefault(node, {})
            sent, counts = pool_bytes(rule, pool, values, unit, state, self._buffers)
            self._add_to_tally(name, counts, sent)
            return sent
        timed = values.counts.float().unflatten(0, (values.steps, -1))  # exact: integers
        pooled = self._pool_over_time(node, pool, timed)
        self._count(name, pooled)
        return Spikes(pooled.flatten(0, 1).to(torch.int8), values.steps, unit, self._signed)
