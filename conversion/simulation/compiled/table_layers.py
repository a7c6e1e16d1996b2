"""The runner of layers for several images at once: synaptic sums are looked up in tables.

Same fusions, same fixed-point weights and therefore the same spikes as `ByteLayers`; layers whose
neurons send binary spikes or small bursts run in the table kernel, the others in the byte kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import torch
from torch import Tensor, fx

from conversion.graph.operations import Kind
from conversion.plan.plan import Plan
from conversion.signals.coding import RATE
from conversion.signals.signals import Signal, Spikes, Told, map_structure, signals_in
from conversion.simulation.compiled.byte_layers import SILENT, ByteLayers, channel_offset, more_bias
from conversion.simulation.compiled.lane_moves import move
from conversion.simulation.compiled.lanes import (
    CHANNELS,
    VECTOR,
    LaneCurrents,
    PackedSpikes,
    fits_planes,
    lanes_for,
    pack_spikes,
    planes_of,
    to_lanes,
)
from conversion.simulation.compiled.layers import filled
from conversion.simulation.compiled.native import table_group
from conversion.simulation.compiled.native.structures import CHANNEL_MULTIPLE
from conversion.simulation.compiled.pooling import can_pool, pool_packed
from conversion.simulation.compiled.prepared import Prepared
from conversion.simulation.compiled.tables import LaneNeurons, LaneSummand, Tables, run_tables, tables_of
from conversion.simulation.fused.fixed_point import is_wide
from conversion.simulation.fused.fusion import Fusion
from conversion.simulation.walk import WalkState

TABLES = "tables"  # name of this kernel


def packs(prepared: Prepared, images: int) -> bool:
    """True where the bits of a register hold the spikes of this many images."""
    return fits_planes(prepared.most, prepared.least) and _rows(prepared.fitted.plan, images) <= VECTOR


def _rows(plan: Plan, images: int) -> int:
    """Most rows of the batch axis that layers see: images, or frames of them."""
    shapes = plan.shapes
    (shown,) = (shape[0] for node, shape in shapes.items() if node.op == "placeholder")
    kinds = (Kind.NEURON, Kind.POOLING, Kind.WEIGHTED)
    layers = [shapes[node][0] for kind in kinds for node in plan.nodes_of(kind)]
    return max([shown, *layers]) * images // shown


class TableLayers:
    """Runs layers of up to 32 images by looking their sums up where it can.

    Args:
        in_bytes: runs what does not fit tables.
        images: in the batch; `packs` must hold for them.
        progress: shared with the walk and with `in_bytes`.
    """

    def __init__(self, in_bytes: ByteLayers, images: int, progress: WalkState) -> None:
        self._bytes = in_bytes
        self._prepared = prepared = in_bytes.prepared
        self._plan, self._spike_values = prepared.fitted.plan, prepared.values
        self._coding = self._plan.neuron.coding
        self._progress = progress
        self._lanes = lanes_for(min(_rows(self._plan, images), VECTOR))
        self._planes = planes_of(prepared.most, prepared.least)
        self._constant_lanes: dict[fx.Node, LaneCurrents] = {}

    @property
    def absorbed(self) -> Set[fx.Node]:
        """Operations that run inside a fused layer."""
        return self._prepared.absorbed

    @property
    def last_use(self) -> Mapping[fx.Node, list[fx.Node]]:
        """Operation -> values that no later operation reads."""
        return self._prepared.last_use

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> Any:
        """Value of a node over some steps, from the values of the nodes before it."""
        fusion = self._prepared.fusions.get(node)
        if fusion is not None:
            return self._fused(node, fusion, values, steps)
        if node in self._prepared.synapses:
            if not self._prepared.synapses[node].whole:
                return self._bytes.evaluate(node, values, steps)
            source = values[node.all_input_nodes[0]]
            drive = self._drive(node, source)
            if drive is not None:
                synapses = drive[1].synapses
                shape = synapses.output_shape(source.shape)
                shape[1] = filled(synapses.outputs)
                currents = run_tables(shape, source.steps, self._lanes, drive, (), None)
                if synapses.outputs == shape[1]:
                    return currents
                return Signal(currents.data[:, : synapses.outputs], source.steps)
        if self._bytes.moves(node):
            moved = self._moved(node, values)
            if moved is not None:
                return moved
        role = self._plan.roles.get(node)
        if role is not None and role.kind is Kind.POOLING:
            return self._pool(node, role.name, self._bytes.arriving(node, values))
        if role is not None and role.kind is Kind.FUNCTION:
            return self._bytes.evaluate(node, values, steps)
        return self._bytes.reference.evaluate(node, values, steps)

    def _moved(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        spike_value = self._spike_values[node]
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: values[source])
        signals = signals_in([args, kwargs])
        if self._changes_rows(node):  # rows of the batch axis are bits here, which no operation moves
            plain = map_structure(_unpacked, PackedSpikes, {s: values[s] for s in node.all_input_nodes})
            return self._bytes.moved(node, plain)
        if spike_value is not None and all(isinstance(signal, PackedSpikes) for signal in signals):
            moved = move(self._bytes.name_of(node), args, kwargs, spike_value)
            if moved is not None:
                return moved
        return self._bytes.moved(node, values)

    def _changes_rows(self, node: fx.Node) -> bool:
        """True where frames of images go into the batch axis, or come out of it."""
        shapes = self._plan.shapes
        rows = {shapes[one][0] for one in (node, *node.all_input_nodes) if one in shapes}
        return len(rows) > 1

    def _drive(self, node: fx.Node, source: Any) -> tuple[PackedSpikes, Tables] | None:
        """Spikes as bits and the tables that they index; None where that does not fit."""
        if not isinstance(source, Spikes):
            return None
        tables = self._prepared.tables
        self._progress.ran[self._plan.roles[node].name] = TABLES
        if node not in tables:
            tables[node] = tables_of(self._prepared.synapses[node])
        return pack_spikes(source, self._planes, self._lanes), tables[node]

    def _fused(self, node: fx.Node, fusion: Fusion, values: dict[fx.Node, Any], steps: int) -> Signal:
        name = self._plan.roles[node].name
        layer = self._prepared.fitted.layers[name]
        firing = self._bytes.firing(layer, fusion)
        whole = fusion.synapses is None or self._prepared.synapses[fusion.synapses].whole
        fits = firing is not None and firing.inside and firing.in_tables and not layer.capped
        there = self._plan.shapes[node]
        told = any(isinstance(values[addend], Told) for addend in fusion.addends)
        fits = fits and not told and not fusion.shapeless
        whole = whole and len(there) != 3 and there[1] % CHANNEL_MULTIPLE == 0
        if firing is None or not fits or not whole:  # groups of few channels have few sums to look up
            return self._bytes.fused(node, fusion, values, steps)
        summands = [
            self._lane_summand(addend, values[addend], layer.threshold, node) for addend in fusion.addends
        ]
        drive = None
        if fusion.synapses is not None:
            origin = fusion.synapses.all_input_nodes[0]
            drive = self._drive(fusion.synapses, values[origin])
            if drive is None:
                dense = self._bytes.dense(fusion.synapses, values[origin])
                summands.append(self._lane_summand(fusion.synapses, dense, layer.threshold, node))
        shape = drive[1].synapses.output_shape(drive[0].shape) if drive else list(summands[0].value.shape)
        bias = channel_offset(layer)
        if layer.offset is not None and bias is None:
            offset = Signal(layer.offset.expand(shape), 1)
            summands.append(self._lane_summand(node, offset, layer.threshold, node))
        neurons = LaneNeurons(
            self._bytes.population(node, shape, layer, fusion, firing, self._layout), layer.threshold
        )
        bias = more_bias(bias, neurons.population.next_bias(steps))
        spikes = run_tables(shape, steps, self._lanes, drive, summands, neurons, bias)
        assert isinstance(spikes, PackedSpikes)
        self._progress.ran[name] = TABLES
        self._count_packed(node, name, spikes)
        if node in self._prepared.last and self._coding is RATE:
            return Signal(spikes.mean(), 1)  # everything that follows is affine: the mean is enough
        return spikes

    def _layout(self, name: str, state: Tensor) -> Tensor:
        """A state as the kernel has it, [C / 4, H, W, 4, lanes]; lanes without an image are silent."""
        return to_lanes(state, 1, self._lanes, fill=SILENT if name == "v" else 0.0)[:, :, :, 0]

    def _lane_summand(self, source: fx.Node, value: Signal, threshold: Tensor, node: fx.Node) -> LaneSummand:
        scale = self._bytes.summand(value, threshold, node).scale
        if isinstance(value, PackedSpikes | LaneCurrents):
            return LaneSummand(value, scale)
        if isinstance(value, Spikes):
            return LaneSummand(pack_spikes(value, self._planes, self._lanes), scale)
        if source in self._constant_lanes:
            return LaneSummand(self._constant_lanes[source], scale)
        in_lanes = to_lanes(value.data, value.steps, self._lanes)
        currents = LaneCurrents(in_lanes, value.shape[0], value.data.ndim)
        if value.steps == 1 and source in self._progress.constant:
            self._constant_lanes[source] = currents
        return LaneSummand(currents, scale)

    def _pool(self, node: fx.Node, name: str, values: Signal) -> Signal:
        pool, rule = self._bytes.reference.pool_of(node), self._plan.pooling_of(node)
        counted = self._spike_values[node] is not None and self._coding is RATE
        if counted and isinstance(values, PackedSpikes) and can_pool(rule, pool, values):
            pooled = pool_packed(rule, pool, values, self._progress.states.setdefault(node, {}))
            self._progress.ran[name] = TABLES
            self._count_packed(node, name, pooled)
            return pooled
        result = self._bytes.pool(node, name, values)
        blocks = len(result.shape) in (2, 4) and result.shape[1] % CHANNELS == 0
        if isinstance(result, Spikes) and blocks:
            return pack_spikes(result, self._planes, self._lanes)
        return result

    def _count_packed(self, node: fx.Node, name: str, spikes: PackedSpikes) -> None:
        """Add spikes to the map of their layer, and make their indices if a layer with weights reads them."""
        _, channels, *sides = spikes.shape
        height, width = sides or (1, 1)
        counts = torch.zeros(height, width, channels)
        if node in self._prepared.drivers:
            spikes.index(table_group(is_wide(self._prepared.precision)), counts)
        else:
            spikes.count(counts)
        self._bytes.add_to_tally(name, counts.permute(2, 0, 1) if sides else counts.flatten(), spikes)


def _unpacked(spikes: PackedSpikes) -> Spikes:
    """The same spikes as bytes."""
    return Spikes(spikes.counts, spikes.steps, spikes.spike_value, spikes.signed)
