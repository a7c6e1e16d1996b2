"""The runner of layers on a GPU: neurons and pools in kernels, everything else as in PyTorch.

In float32, signals are what the reference backend has, by the same operations in the same order: spikes are
the same up to the rounding of convolutions. In half precision, spikes travel as whole numbers, and layers
with weights that they reach run in that precision. Nothing here asks the device for a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import torch
from torch import Tensor, fx

from conversion.costs.tally import SpikeTally
from conversion.graph.nodes import operation_of
from conversion.graph.operations import SHAPE_ARGUMENTS, Kind
from conversion.plan.layer import SpikingLayer
from conversion.signals.signals import Signal, Spikes, map_structure, signals_in
from conversion.simulation.cuda.pooling import pool_chunk
from conversion.simulation.cuda.prepared import Layer, Prepared
from conversion.simulation.cuda.scanning import COUNTS, MEAN, Population, run_neurons
from conversion.simulation.cuda.signals import Addend, by_channel, channels_first
from conversion.simulation.pytorch.layers import TorchLayers, with_time
from conversion.simulation.walk import WalkState

NAME = "triton"  # of this backend, and of its kernels
# Operations that move whole numbers as they move floats.
_MOVES = {"cat", "concat", "concatenate", "getitem", "chunk", "split", "flatten", "view", "reshape"}
_MOVES |= {"permute", "pad", "contiguous", "dropout"}
_MOVES |= {"Dropout", "Dropout2d", "Identity", "Flatten", "ZeroPad2d"}


class KernelLayers:
    """Runs layers of one part of a batch in the kernels where they fit them.

    Args:
        prepared: what runs in kernels, and how.
        reference: runs everything else.
        progress: shared with the walk and with `reference`.
        tally: counts spikes.
    """

    def __init__(
        self, prepared: Prepared, reference: TorchLayers, progress: WalkState, tally: SpikeTally
    ) -> None:
        self._prepared = prepared
        self._reference = reference
        self._progress = progress
        self._tally = tally
        self._plan = prepared.fitted.plan
        self._spike_values = prepared.fitted.spike_values
        self._populations: dict[fx.Node, Population] = {}
        self._pools: dict[fx.Node, dict[str, Tensor]] = {}

    @property
    def absorbed(self) -> Set[fx.Node]:
        """Sums that run inside a layer of neurons."""
        return self._prepared.absorbed

    @property
    def last_use(self) -> Mapping[fx.Node, list[fx.Node]]:
        """Operation -> values that no later operation reads."""
        return self._prepared.last_use

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> Any:
        """Value of a node over some steps, from the values of the nodes before it."""
        layer = self._prepared.layers.get(node)
        if layer is not None and self._fits(layer.name):
            return self._fired(node, layer, values, steps)
        if layer is not None:
            return self._by_reference(node, layer, values, steps)
        if node in self._prepared.pools and self._fits(self._plan.roles[node].name):
            arriving = self._arriving(node, values)
            if node.all_input_nodes[0] not in self._progress.constant:
                return self._pooled(node, arriving)
        if node in self._prepared.weights:
            arriving = self._arriving(node, values)
            if isinstance(arriving, Spikes):
                self._progress.ran[self._plan.roles[node].name] = self._prepared.precision
                return self._prepared.weights[node](arriving.counts, arriving.steps)
        if self._moves(node):
            moved = self._moved(node, values)
            if moved is not None:
                return moved
        return self._reference.evaluate(node, values, steps)

    def _fits(self, name: str) -> bool:
        """False in steps before the read-out, and where the frames of an image are counted apart."""
        return self._progress.before is None and self._tally.frames(name) == 1

    def _arriving(self, node: fx.Node, values: dict[fx.Node, Any]) -> Signal:
        """The first signal that a node reads."""
        return signals_in(fx.map_arg([node.args, node.kwargs], lambda source: values[source]))[0]

    def _by_reference(self, node: fx.Node, layer: Layer, values: dict[fx.Node, Any], steps: int) -> Any:
        """A layer with the sums before it, in PyTorch."""
        values = dict(values)
        for inner in layer.inflow.absorbed:
            values[inner] = self._reference.evaluate(inner, values, steps)
        return self._reference.evaluate(node, values, steps)

    def _fired(self, node: fx.Node, layer: Layer, values: dict[fx.Node, Any], steps: int) -> Signal:
        """What a layer of neurons sends."""
        fitted = self._prepared.fitted.layers[layer.name]
        channels = len(layer.threshold)
        inflow = [values[source] for source in layer.inflow.addends]
        if self._plan.telescoped(node) is not None:
            inflow = [self._reference.received(node, layer.name, inflow[0], steps)]
        addends = [Addend.of(signal, steps, channels, layer.axis) for signal in inflow]
        population = self._population(node, layer, fitted, inflow)
        half = self._prepared.half
        offset = layer.offset
        if half is not None:  # in thresholds from the start: a multiplication instead of a division
            addends = [addend.divided_by(layer.threshold) for addend in addends]
            offset = None if offset is None else offset / layer.threshold
        dtype = torch.float32
        if layer.written == COUNTS:
            dtype = self._prepared.carrier(node, layer.spiking.largest)
        sent, counts = run_neurons(
            addends, offset, layer.threshold, half is None, population, steps, layer.written, dtype
        )
        self._progress.ran[layer.name] = NAME
        self._count(layer.name, counts, layer.axis)
        if layer.written == MEAN:
            return Signal(channels_first(sent, layer.axis), 1)
        if layer.written == COUNTS:
            return Spikes(channels_first(sent), steps, fitted.threshold, self._prepared.signed)
        return Signal(channels_first(sent, layer.axis), steps)

    def _population(
        self, node: fx.Node, layer: Layer, fitted: SpikingLayer, inflow: list[Signal]
    ) -> Population:
        """Neurons of a layer as the kernel keeps them, first as steps before the read-out left them."""
        if node not in self._populations:
            like = fitted.threshold.new_zeros(()).expand(inflow[0].shape)
            state = self._progress.states.pop(node, None) or fitted.start(like)
            factor = self._reference.factors.get(node)
            self._populations[node] = Population.of(layer.spiking, state, factor, layer.axis)
        return self._populations[node]

    def _count(self, name: str, counts: Tensor, axis: int = 1) -> None:
        self._tally.add(name, channels_first(counts[None], axis)[0])

    def _pooled(self, node: fx.Node, values: Signal) -> Signal:
        """What a max pool sends."""
        name, rule = self._plan.roles[node].name, self._plan.pooling_of(node)
        spike_value, channels = self._spike_values.get(node), values.shape[1]
        counted: Tensor | None = None
        if isinstance(values, Spikes):
            arriving, dtype = values.counts, self._prepared.carrier(node, self._prepared.most)
            counted = torch.ones(channels, device=arriving.device)
        else:
            arriving, dtype = values.data, torch.float32
            if spike_value is not None and self._plan.neuron.integral:
                counted = by_channel(spike_value, channels)
        state = self._pools.setdefault(node, {})
        pool = self._reference.pool_of(node)
        sent, counts = pool_chunk(rule, pool, arriving, values.steps, counted, state, dtype)
        self._progress.ran[name] = NAME
        self._count(name, counts)
        if isinstance(values, Spikes):
            return Spikes(channels_first(sent), values.steps, values.spike_value, self._prepared.signed)
        return Signal(channels_first(sent), values.steps)

    def _moves(self, node: fx.Node) -> bool:
        """True for an operation that only moves spikes of one size, as they move within a batch."""
        role = self._plan.roles.get(node)
        if role is None or role.kind is not Kind.ROUTING or role.moved or self._prepared.half is None:
            return False
        return self._spike_values.get(node) is not None and self._name_of(node) in _MOVES

    def _name_of(self, node: fx.Node) -> str:
        """Name of an operation: of a function, a method, or the type of a module."""
        if node.op == "call_module":
            return type(self._plan.captured.get_submodule(str(node.target))).__name__
        return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")

    def _moved(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """Result of an operation that only moves spikes, still as spikes; None if something else arrives."""
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: values[source])
        arriving = signals_in([args, kwargs])
        if not all(isinstance(signal, Spikes) for signal in arriving):
            return None
        steps, spike_value = arriving[0].steps, self._spike_values[node]
        assert spike_value is not None
        if node.target in SHAPE_ARGUMENTS:
            args = (args[0], *with_time(args[1:], steps))
        args, kwargs = map_structure(lambda spikes: spikes.counts, Spikes, (args, kwargs))
        result = operation_of(self._plan.captured, node)(*args, **kwargs)

        def as_spikes(counts: Tensor) -> Spikes:
            return Spikes(counts, steps, spike_value, self._prepared.signed)

        return map_structure(as_spikes, Tensor, result)
