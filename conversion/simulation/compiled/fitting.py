"""The runner of layers while a network is fitted: all steps at once, layer by layer, spikes as bytes.

Nothing is fused with neurons, because a rule looks at what arrives before they fire. Weights are packed when
the spikes that meet them are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from conversion.graph.nodes import last_uses
from conversion.graph.operations import Kind
from conversion.plan.fitted import Fitted
from conversion.plan.layer import SpikingLayer
from conversion.plan.sums import Sums
from conversion.signals.signals import Signal, Spikes
from conversion.simulation.compiled.buffers import Buffers
from conversion.simulation.compiled.byte_layers import ByteLayers, channel_offset, layout_of, more_bias
from conversion.simulation.compiled.layers import Synapses, pack, run_layer
from conversion.simulation.compiled.population import Population
from conversion.simulation.compiled.prepared import Prepared, limits_here, values_of
from conversion.simulation.fused.firing import carriers_of
from conversion.simulation.fused.fusion import Fusion, find_fusions, has_kernel_shape, is_spike_driven
from conversion.simulation.pytorch.layers import TorchLayers
from conversion.simulation.walk import WalkState


class Growing(Prepared):
    """What is known of a network that is being fitted; layers change until they fire."""

    def __init__(self, fitted: Fitted) -> None:
        plan = fitted.plan
        self._start_from(fitted, "float32")
        self.fusions, self.absorbed, self.last_use = {}, frozenset(), last_uses(plan.captured.graph)
        self.sums = Sums()  # every step is looked at
        self.summed: dict[fx.Node, Fusion] = find_fusions(fitted, limits_here())
        weighted = plan.nodes_of(Kind.WEIGHTED)
        self.driven = frozenset(node for node in weighted if is_spike_driven(fitted, limits_here(), node))

    def packed(self, node: fx.Node, spike_value: Tensor) -> Synapses:
        """A layer with weights as they are now, for currents in units of the activation."""
        module = self.fitted.plan.captured.get_submodule(str(node.target))
        return pack(module, spike_value, torch.ones(1), self.precision, self.most, self.least)


class FittingLayers(ByteLayers):
    """Runs a network that is being fitted; see `simulation.backend.FittingRunner`.

    Args:
        fitted: what is known so far.
        images: analog input [B, ...].
        progress: shared with the walk.
    """

    def __init__(self, fitted: Fitted, images: Tensor, progress: WalkState) -> None:
        self._growing = Growing(fitted)
        reference = TorchLayers(fitted, images, progress)
        super().__init__(self._growing, reference, progress, None, Buffers(0))

    def refit(self, fitted: Fitted) -> None:
        """Go on with layers as they are now."""
        self._growing.fitted, self._growing.values = fitted, values_of(fitted)
        self.reference.refit(fitted)

    def _carrier(self, layer: SpikingLayer) -> torch.dtype:
        """What holds the spikes of a layer, whose neurons may have changed since the fit began."""
        known = self._growing.carriers
        if layer.neuron not in known:
            known |= carriers_of([*known, layer.neuron])
        return known[layer.neuron]

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> Any:
        """Value of a node over some steps, from the values of the nodes before it."""
        source = values[node.all_input_nodes[0]] if node in self._growing.driven else None
        if not isinstance(source, Spikes):
            return super().evaluate(node, values, steps)
        synapses = self._growing.packed(node, source.spike_value)
        shape = synapses.output_shape(source.shape)
        currents, _ = run_layer(shape, source.steps, (source, synapses), (), None)
        return Signal(currents, source.steps)

    def _heard(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> dict[fx.Node, Any]:
        """The values that a function reads; it sums them up itself, as it may be evaluated again."""
        return values

    def current(
        self, node: fx.Node, segment: Sequence[fx.Node], values: dict[fx.Node, Any], steps: int
    ) -> Signal:
        """What flows into a layer of neurons; a layer with weights and all that is added to it in one go."""
        fusion = self._growing.summed.get(node)
        absorbed = fusion.absorbed if fusion is not None and fusion.synapses is not None else frozenset()
        for inner in segment:
            if inner not in absorbed:
                values[inner] = self.evaluate(inner, values, steps)
        if fusion is not None and fusion.synapses is not None:
            source = values[fusion.synapses.all_input_nodes[0]]
            if isinstance(source, Spikes) and source.steps == steps:
                return self._summed(node, fusion, fusion.synapses, source, values)
            for inner in segment:
                if inner in absorbed:
                    values[inner] = self.evaluate(inner, values, steps)
        return self.arriving(node, values)

    def _summed(
        self, node: fx.Node, fusion: Fusion, weighted: fx.Node, source: Spikes, values: dict[fx.Node, Any]
    ) -> Signal:
        synapses = self._growing.packed(weighted, source.spike_value)
        summands = [self.summand(values[addend], torch.ones(1), node) for addend in fusion.addends]
        shape = synapses.output_shape(source.shape)
        currents, _ = run_layer(shape, source.steps, (source, synapses), summands, None)
        return Signal(currents, source.steps)

    def received(self, node: fx.Node, name: str, current: Signal, steps: int) -> Signal:
        """What a layer of neurons turns into spikes."""
        return self.reference.received(node, name, current, steps)

    def sent(self, node: fx.Node, name: str, received: Signal, steps: int) -> Signal:
        """What a layer sends, as it is now; bytes where they hold it."""
        layer = self._growing.fitted.layers[name]
        fired = self._fired_in_kernel(node, layer, received, steps)
        if fired is not None:
            return fired
        spikes = self.reference.driven(node, name, received, steps)
        if not self._in_bytes(node, name):
            return Signal((spikes * layer.threshold).flatten(0, 1), steps)
        return Spikes(spikes.flatten(0, 1).to(self._carrier(layer)), steps, layer.threshold, self._signed)

    def rate(self, node: fx.Node, layer: SpikingLayer, received: Signal, steps: int) -> Tensor:
        """Mean over time of what a layer would send, [B, C, ...]."""
        fired = self._fired_in_kernel(node, layer, received, steps)
        return self.reference.rate(node, layer, received, steps) if fired is None else self._mean(fired)

    def _fired_in_kernel(
        self, node: fx.Node, layer: SpikingLayer, received: Signal, steps: int
    ) -> Spikes | None:
        shape, firing = list(received.shape), self.firing(layer)
        if firing is None or not has_kernel_shape(self._growing.fitted, node, limits_here()):
            return None
        if self._carrier(layer) is torch.float32:
            return None
        state = layer.neuron.start(layer.initial.expand(shape))
        neurons = Population.of(firing, state, layout_of(shape), layer.neuron)
        summands, bias = [self.summand(received, layer.threshold, node)], channel_offset(layer)
        if layer.offset is not None and bias is None:
            constant = Signal(layer.offset.expand(shape).contiguous(), 1)
            summands.append(self.summand(constant, layer.threshold, node))
        bias = more_bias(bias, neurons.next_bias(steps))
        spikes, _ = run_layer(shape, steps, None, summands, neurons, bias=bias)
        return Spikes(spikes, steps, layer.threshold, self._signed)
