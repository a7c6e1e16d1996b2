"""The simulator on CPUs with a C compiler: same mathematics, fused layers, integer synapses.

Spikes travel as bytes, and neurons are fused with the sums that drive them (see `conversion.fusion`).
What does not fit the kernel runs as in `Simulation`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from conversion.compiled_layers import PLANES, Neurons, Summand, Synapses, pack, run_layer
from conversion.fusion import Fusion, find_fusions, is_spike_driven
from conversion.native import kernel
from conversion.neurons import Burst, IntegrateAndFire
from conversion.operations import SHAPE_ARGUMENTS, Kind
from conversion.plan import Plan, last_uses, operation_of
from conversion.signals import Signal, Spikes, map_structure, signals_in
from conversion.simulator import Simulation, with_time

# Operations that move integers as they move floats.
_MOVES = {"getitem", "pad", "flatten", "view", "reshape", "permute", "cat", "concat", "concatenate"}
_MOVES |= {"chunk", "split", "contiguous", "dropout", "dropout2d"}
_MOVES |= {"Dropout", "Dropout2d", "Identity", "Flatten", "ZeroPad2d"}


class Prepared:
    """What all batches share: fusions and packed weights, for the current weights and thresholds."""

    def __init__(
        self,
        plan: Plan,
        thresholds: dict[str, Tensor],
        units: dict[fx.Node, Tensor | None],
        precision: str,
    ) -> None:
        self._planes = PLANES[precision]
        self.fusions = find_fusions(plan, units)
        self.absorbed = frozenset(node for fusion in self.fusions.values() for node in fusion.absorbed)
        run_by = {neuron: fusion.absorbed for neuron, fusion in self.fusions.items()}
        self.last_use = last_uses(plan.captured.graph, run_by)
        self.synapses: dict[fx.Node, Synapses] = {}
        for neuron, fusion in self.fusions.items():
            if fusion.synapses is not None:
                self._pack(plan, units, fusion.synapses, thresholds[plan.roles[neuron].name])
        for node in plan.nodes_of(Kind.WEIGHTED):
            if node not in self.absorbed and is_spike_driven(plan, units, node):
                self._pack(plan, units, node, torch.ones(1))

    def _pack(
        self, plan: Plan, units: dict[fx.Node, Tensor | None], node: fx.Node, threshold: Tensor
    ) -> None:
        unit = units[node.all_input_nodes[0]]
        assert unit is not None
        self.synapses[node] = pack(
            plan.captured.get_submodule(str(node.target)), unit, threshold, self._planes
        )


def available(images: Tensor) -> bool:
    """True for float32 images on a CPU with a C compiler."""
    return images.device.type == "cpu" and images.dtype == torch.float32 and kernel() is not None


class CompiledSimulation(Simulation):
    """A simulation whose layers run in the kernel where they fit it.

    Args:
        plan, thresholds, units, images: as for `Simulation`.
        prepared: fusions and packed weights of this plan and these thresholds.
    """

    def __init__(
        self,
        plan: Plan,
        thresholds: dict[str, Tensor],
        units: dict[fx.Node, Tensor | None],
        images: Tensor,
        prepared: Prepared,
    ) -> None:
        super().__init__(plan, thresholds, units, images)
        self._prepared = prepared
        self._absorbed = prepared.absorbed
        self._last_use = prepared.last_use
        self._signed = self._neuron_type.alphabet == "signed"
        self._membranes: dict[fx.Node, Tensor] = {}

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
                currents, _ = run_layer(shape, source.steps, (source, synapses), (), None)
                return Signal(currents, source.steps)
        if role is not None and role.kind is Kind.ROUTING and self._units.get(node) is not None:
            moved = self._moved(node, values)
            if moved is not None:
                return moved
        return super()._evaluate(node, values, steps)

    def _moved(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """Result of an operation that only moves spikes, still as spikes; None if it cannot."""
        target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        name = target
        if node.op == "call_module":
            name = type(self._plan.captured.get_submodule(str(node.target))).__name__
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: values[source])
        signals = signals_in([args, kwargs])
        if name not in _MOVES or not all(isinstance(signal, Spikes) for signal in signals):
            return None
        steps = signals[0].steps
        if node.target in SHAPE_ARGUMENTS:
            args = (args[0], *with_time(args[1:], steps))
        args, kwargs = map_structure(lambda spikes: spikes.counts, Spikes, (args, kwargs))
        unit = self._units[node]
        assert unit is not None
        result = operation_of(self._plan.captured, node)(*args, **kwargs)
        signed = self._signed
        return map_structure(lambda counts: Spikes(counts, steps, unit, signed), Tensor, result)

    def _fused(self, node: fx.Node, fusion: Fusion, values: dict[fx.Node, Any], steps: int) -> Signal:
        """A neuron layer with everything that flows into it."""
        name = self._plan.roles[node].name
        threshold = self._thresholds[name]
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
        neuron = self._neuron_type
        if isinstance(neuron, IntegrateAndFire | Burst):
            neurons = Neurons(neuron.max_per_step, self._membrane(node, shape))
            spikes, counts = run_layer(shape, steps, drive, summands, neurons)
            assert counts is not None
            self._add_to_map(name, counts)
            return Spikes(spikes, steps, threshold, signed=False)
        currents, _ = run_layer(shape, steps, drive, summands, None)
        fired = self._fire(node, currents.unflatten(0, (steps, -1)), steps)
        self._count(name, fired)
        return Spikes(fired.flatten(0, 1).to(torch.int8), steps, threshold, self._signed)

    def _membrane(self, node: fx.Node, shape: list[int]) -> Tensor:
        """Membranes of a layer [B, H, W, C], which the kernel updates in place."""
        if node not in self._membranes:
            size = (shape[0], *shape[2:], shape[1])
            self._membranes[node] = torch.full(size, self._plan.recipe.initial.value)
        return self._membranes[node]

    def _summand(self, value: Signal, threshold: Tensor, node: fx.Node) -> Summand:
        channels = self._plan.shapes[node][1]
        scale = (1.0 / threshold.flatten()).expand(channels)
        if isinstance(value, Spikes):
            scale = scale * value.unit.flatten().expand(channels)
        return Summand(value, scale.contiguous())

    def _pool(self, node: fx.Node, name: str, values: Signal) -> Signal:
        unit = self._units[node]
        if not isinstance(values, Spikes) or unit is None:
            return super()._pool(node, name, values)
        pool = self._pool_of(node)
        timed = values.counts.float().unflatten(0, (values.steps, -1))  # exact: integers
        pooled, self._states[node] = self._plan.recipe.pooling.scan(pool, timed, self._states.get(node, {}))
        self._count(name, pooled)
        return Spikes(pooled.flatten(0, 1).to(torch.int8), values.steps, unit, self._signed)
