"""What all batches share on a GPU: which layers run in kernels, what flows into them, weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx

from conversion.graph.nodes import last_uses
from conversion.graph.operations import Kind
from conversion.plan.fitted import Fitted
from conversion.plan.plan import last_sources, max_pool_of
from conversion.signals.coding import RATE
from conversion.simulation.backend import Precision
from conversion.simulation.cuda.half import EXACT, HalfWeights, half_of, half_weights
from conversion.simulation.cuda.inflow import Inflow, inflow_of
from conversion.simulation.cuda.neurons import DIFFERENTIAL, LEVELS, Spiking, spiking_of
from conversion.simulation.cuda.pooling import can_pool
from conversion.simulation.cuda.scanning import COUNTS, MEAN, VALUES
from conversion.simulation.cuda.signals import by_channel, is_by_channel

MOST_IN_BYTES = 127
TAPS_IN_BYTES = 4  # windows of more inputs take too many registers where values are bytes


@dataclass(frozen=True)
class Layer:
    """A layer of neurons that runs in the kernel.

    Attributes:
        name: of the layer.
        inflow: what is added up before it.
        spiking: what its neurons do.
        threshold: float32 [C].
        offset: float32 [C], a constant current in units of the activation; None for none.
        axis: of channels, 1 or -1.
        written: what is written of its spikes: COUNTS where they meet weights in half precision, else VALUES,
            and the MEAN over a chunk where only affine operations follow.
    """

    name: str
    inflow: Inflow
    spiking: Spiking
    threshold: Tensor
    offset: Tensor | None
    axis: int
    written: int


class Prepared:
    """Layers and weights as the kernels run them, for weights and thresholds as they are now.

    Args:
        fitted: what runs.
        precision: of the weights that spikes meet.

    Attributes:
        layers: layers of neurons that run in the kernel.
        pools: max pooling that does.
        absorbed: sums that run inside a layer.
        last_use: operation -> values that no later operation reads.
        half: half precision of weights; None for float32.
        weights: layers with weights in half precision.
        signed: some spikes may be negative.
        most: most spikes of one neuron in one step, of either sign.
    """

    def __init__(self, fitted: Fitted, precision: Precision) -> None:
        plan = fitted.plan
        self.fitted = fitted
        self.precision = precision
        self.half = half_of(precision)
        self.signed = any(neuron.alphabet not in ("binary", "burst") for neuron in fitted.neurons)
        self.most = max((neuron.max_per_step for neuron in fitted.neurons), default=1)
        self._last = last_sources(plan) if plan.neuron.coding is RATE else frozenset()
        found = {node: self._layer(node) for node in plan.nodes_of(Kind.NEURON)}
        self.layers: dict[fx.Node, Layer] = {node: layer for node, layer in found.items() if layer}
        run_by = {node: layer.inflow.absorbed for node, layer in self.layers.items()}
        self.absorbed = frozenset(node for sums in run_by.values() for node in sums)
        self.last_use = last_uses(plan.captured.graph, run_by)
        self.pools = frozenset(node for node in plan.nodes_of(Kind.POOLING) if self._pools(node))
        self.weights: dict[fx.Node, HalfWeights] = {}
        if self.half is not None:
            halves = {node: half_weights(fitted, node, self.half, self.most) for node in plan.roles}
            self.weights = {node: weights for node, weights in halves.items() if weights}

    def _layer(self, node: fx.Node) -> Layer | None:
        """How the kernel runs a layer of neurons; None where it does not."""
        role, shape = self.fitted.plan.roles[node], self.fitted.plan.shapes[node]
        layer = self.fitted.layers[role.name]
        spiking = spiking_of(layer.neuron)
        if spiking is None or len(shape) < 2 or role.moved:
            return None
        axis, channels = role.axis, shape[role.axis]
        fitting = [layer.threshold] if layer.offset is None else [layer.threshold, layer.offset]
        if not all(is_by_channel(values, channels, axis) for values in fitting):
            return None
        offset = None if layer.offset is None else by_channel(layer.offset, channels)
        threshold = by_channel(layer.threshold, channels)
        inflow = inflow_of(self.fitted.plan, node)
        return Layer(role.name, inflow, spiking, threshold, offset, axis, self._written(node, spiking))

    def _written(self, node: fx.Node, spiking: Spiking) -> int:
        if node in self._last:
            return MEAN
        if self.half is None or self.fitted.spike_values.get(node) is None:
            return VALUES
        exact = spiking.kind in (DIFFERENTIAL, LEVELS) or spiking.largest <= EXACT[self.half]
        return COUNTS if exact else VALUES

    def _pools(self, node: fx.Node, most_taps: int | None = None) -> bool:
        """True for max pooling that the kernel does."""
        plan = self.fitted.plan
        if plan.neuron.coding is not RATE or plan.roles[node].moved:
            return False
        spike_value, shape = self.fitted.spike_values.get(node), plan.shapes[node]
        if spike_value is not None and not is_by_channel(spike_value, shape[1], 1):
            return False
        return can_pool(plan.pooling_of(node), max_pool_of(plan.captured, node), len(shape), most_taps)

    def carrier(self, node: fx.Node, largest: int) -> torch.dtype:
        """Type of spikes: bytes where only kernels read them, else the half precision of the next weights."""
        assert self.half is not None
        in_bytes = largest <= MOST_IN_BYTES and all(self._reads_bytes(user) for user in node.users)
        return torch.int8 if in_bytes else self.half

    def _reads_bytes(self, node: fx.Node) -> bool:
        return node in self.absorbed or (node in self.pools and self._pools(node, TAPS_IN_BYTES))
