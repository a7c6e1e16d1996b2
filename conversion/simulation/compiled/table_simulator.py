"""The compiled simulator for several images at once: synaptic sums are looked up in tables.

Same fusions, same fixed-point weights and therefore the same spikes as `CompiledSimulation`; layers
whose neurons send binary spikes or small bursts run in the table kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from conversion.graph.nodes import operation_of
from conversion.graph.operations import Kind
from conversion.signals.coding import RATE
from conversion.signals.signals import Signal, Spikes, map_structure, signals_in
from conversion.simulation.compiled.lane_moves import move
from conversion.simulation.compiled.lanes import (
    VECTOR,
    LaneCurrents,
    PackedSpikes,
    fits_planes,
    lanes_for,
    pack_spikes,
    planes_of,
    to_lanes,
)
from conversion.simulation.compiled.native import table_group
from conversion.simulation.compiled.pooling import fits, pool_packed
from conversion.simulation.compiled.simulator import SILENT, CompiledSimulation
from conversion.simulation.compiled.tables import LaneNeurons, LaneSummand, Tables, run_tables, tables_of
from conversion.simulation.fused.fixed_point import is_wide
from conversion.simulation.fused.fusion import Fusion


class TableSimulation(CompiledSimulation):
    """A simulation of up to 32 images whose layers look their sums up where they can.

    Args are those of `CompiledSimulation`.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        rows = self._rows()
        self._lanes = lanes_for(min(rows, VECTOR))
        prepared = self._prepared
        self._packs = fits_planes(prepared.most, prepared.least) and rows <= VECTOR
        self._planes = planes_of(prepared.most, prepared.least)
        self._constant_lanes: dict[fx.Node, LaneCurrents] = {}

    def _rows(self) -> int:
        """Most rows of the batch axis that layers see: images, or frames of them."""
        shapes = self._plan.shapes
        (images,) = (shape[0] for node, shape in shapes.items() if node.op == "placeholder")
        kinds = (Kind.NEURON, Kind.POOLING, Kind.WEIGHTED)
        layers = [shapes[node][0] for kind in kinds for node in self._plan.nodes_of(kind)]
        return max([images, *layers]) * len(self._images) // images

    def _evaluate(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> Any:
        if node in self._prepared.synapses and node not in self._prepared.fusions:
            source = values[node.all_input_nodes[0]]
            drive = self._drive(node, source)
            if drive is not None:
                shape = drive[1].synapses.output_shape(source.shape)
                return run_tables(shape, source.steps, self._lanes, drive, (), None)
        return super()._evaluate(node, values, steps)

    def _moved(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        unit = self._units[node]
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: values[source])
        signals = signals_in([args, kwargs])
        if self._changes_rows(node):  # rows of the batch axis are bits here, which no operation moves
            plain = map_structure(_unpacked, PackedSpikes, {s: values[s] for s in node.all_input_nodes})
            return super()._moved(node, plain)
        if unit is not None and all(isinstance(signal, PackedSpikes) for signal in signals):
            moved = move(self._name_of(node), args, kwargs, unit)
            if moved is not None:
                return moved
        return super()._moved(node, values)

    def _changes_rows(self, node: fx.Node) -> bool:
        """True where frames of images go into the batch axis, or come out of it."""
        shapes = self._plan.shapes
        rows = {shapes[one][0] for one in (node, *node.all_input_nodes) if one in shapes}
        return len(rows) > 1

    def _drive(self, node: fx.Node, source: Any) -> tuple[PackedSpikes, Tables] | None:
        """Spikes as bits and the tables that they index; None where that does not fit."""
        if not isinstance(source, Spikes) or not self._packs:
            return None
        tables = self._prepared.tables
        if node not in tables:
            tables[node] = tables_of(self._prepared.synapses[node])
        return pack_spikes(source, self._planes, self._lanes), tables[node]

    def _fused(self, node: fx.Node, fusion: Fusion, values: dict[fx.Node, Any], steps: int) -> Signal:
        name = self._plan.roles[node].name
        layer = self._layers[name]
        firing = self._firing(layer)
        if firing is None or not self._packs:
            return super()._fused(node, fusion, values, steps)
        summands = [
            self._lane_summand(addend, values[addend], layer.threshold, node) for addend in fusion.addends
        ]
        drive = None
        if fusion.synapses is not None:
            origin = fusion.synapses.all_input_nodes[0]
            drive = self._drive(fusion.synapses, values[origin])
            if drive is None:
                if isinstance(values[origin], Spikes):
                    return super()._fused(node, fusion, values, steps)
                dense = operation_of(self._plan.captured, fusion.synapses)(values[origin].data)
                constant = Signal(dense, values[origin].steps)
                summands.append(self._lane_summand(fusion.synapses, constant, layer.threshold, node))
        shape = drive[1].synapses.output_shape(drive[0].shape) if drive else list(summands[0].value.shape)
        if layer.offset is not None:
            offset = Signal(layer.offset.expand(shape), 1)
            summands.append(self._lane_summand(node, offset, layer.threshold, node))
        neurons = LaneNeurons(self._population(node, shape, layer, firing), layer.threshold)
        spikes = run_tables(shape, steps, self._lanes, drive, summands, neurons)
        assert isinstance(spikes, PackedSpikes)
        self._count_packed(node, name, spikes)
        if node in self._prepared.last and self._coding is RATE:
            return Signal(spikes.mean(), 1)  # everything that follows is affine: the mean is enough
        return spikes

    def _layout(self, name: str, state: Tensor) -> Tensor:
        """A state as the kernel has it, [C / 4, H, W, 4, lanes]; lanes without an image are silent."""
        if not self._packs:
            return super()._layout(name, state)
        return to_lanes(state, 1, self._lanes, fill=SILENT if name == "v" else 0.0)[:, :, :, 0]

    def _lane_summand(self, source: fx.Node, value: Signal, threshold: Tensor, node: fx.Node) -> LaneSummand:
        scale = self._summand(value, threshold, node).scale
        if isinstance(value, PackedSpikes | LaneCurrents):
            return LaneSummand(value, scale)
        if isinstance(value, Spikes) and self._packs:
            return LaneSummand(pack_spikes(value, self._planes, self._lanes), scale)
        if source in self._constant_lanes:
            return LaneSummand(self._constant_lanes[source], scale)
        dense = value.counts if isinstance(value, Spikes) else value.data
        in_lanes = to_lanes(dense, value.steps, self._lanes)
        currents = LaneCurrents(in_lanes, value.shape[0], dense.ndim)
        if value.steps == 1 and source in self._constant:
            self._constant_lanes[source] = currents
        return LaneSummand(currents, scale)

    def _pool(self, node: fx.Node, name: str, values: Signal) -> Signal:
        pool, rule = self._pool_of(node), self._plan.pooling_of(node)
        counted = self._units[node] is not None and self._coding is RATE
        if counted and isinstance(values, PackedSpikes) and fits(rule, pool, values):
            pooled = pool_packed(rule, pool, values, self._states.setdefault(node, {}))
            self._count_packed(node, name, pooled)
            return pooled
        result = super()._pool(node, name, values)
        if isinstance(result, Spikes) and self._packs:
            return pack_spikes(result, self._planes, self._lanes)
        return result

    def _count_packed(self, node: fx.Node, name: str, spikes: PackedSpikes) -> None:
        """Add spikes to the map of their layer, and make their indices if somebody will need them."""
        _, channels, *sides = spikes.shape
        height, width = sides or (1, 1)
        counts = torch.zeros(height, width, channels)
        if node in self._prepared.drivers:
            spikes.index(table_group(is_wide(self._prepared.precision)), counts)
        else:
            spikes.count(counts)
        self._add_to_tally(name, counts.permute(2, 0, 1) if sides else counts.flatten(), spikes)


def _unpacked(spikes: PackedSpikes) -> Spikes:
    """The same spikes as bytes."""
    return Spikes(spikes.counts, spikes.steps, spikes.unit, spikes.signed)
