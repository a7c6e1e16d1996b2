"""The loop that everybody writes first, as well as anybody would: the opponent of every simulator.

Batch norms are folded, memory is channels-last, every activation is replaced by a module of neurons, and the
network is called T times. Neurons have the thresholds and initial potentials of a converted network. Max
pooling and operations that are no activations run as in the ANN, which is less than right but costs least.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from conversion import SpikingNetwork
from conversion.functions.elementwise import Elementwise
from conversion.graph.operations import Kind
from conversion.neurons import IntegrateAndFire, State
from conversion.outputs import added
from conversion.plan.layer import SpikingLayer


class BinaryNeurons(nn.Module):
    """Soft-reset integrate-and-fire neurons, one step a call."""

    def __init__(self, layer: SpikingLayer) -> None:
        super().__init__()
        self.layer = layer
        self.v: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Currents [B, ...] to spikes of the size of a threshold."""
        if self.v is None:
            self.v = self.layer.membrane(x) * self.layer.threshold
        self.v += x
        spikes = (self.v >= self.layer.threshold).to(x.dtype) * self.layer.threshold
        self.v -= spikes
        return spikes

    def reset(self) -> None:
        """Back to the first step."""
        self.v = None


class AnyNeurons(nn.Module):
    """Neurons of any kind by their own equations, one step a call; functions as increments of t F(mean)."""

    def __init__(self, layer: SpikingLayer, function: Elementwise | None) -> None:
        super().__init__()
        self.layer, self.function = layer, function
        self.t = 0
        self.state: State | None = None
        self.sum: Tensor
        self.sent: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Currents [B, ...] to spikes of the size of a threshold."""
        if self.state is None:
            start = self.layer.start(x / self.layer.threshold)
            self.state = self.layer.neuron.at_rest(torch.zeros_like(x), start)
            self.sum = self.sent = torch.zeros_like(x)
        if self.function is not None:
            self.t += 1
            self.sum = self.sum + x
            total = self.t * self.function(self.sum / self.t)
            x, self.sent = total - self.sent, total
        spikes, self.state = self.layer.neuron.step(x / self.layer.threshold, self.state)
        return spikes * self.layer.threshold

    def reset(self) -> None:
        """Back to the first step."""
        self.t, self.state = 0, None


class PlainLoop:
    """A converted network as a plain loop.

    Args:
        snn: where weights, thresholds and neurons come from.
    """

    def __init__(self, snn: SpikingNetwork) -> None:
        plan = snn.plan
        self._network: Any = copy.deepcopy(plan.captured)
        self._neurons: list[BinaryNeurons | AnyNeurons] = []
        twins = dict(zip(plan.captured.graph.nodes, self._network.graph.nodes, strict=True))
        for node in plan.nodes_of(Kind.NEURON):
            layer = snn.layers[plan.roles[node].name]
            function = plan.telescoped(node)
            binary = function is None and isinstance(layer.neuron, IntegrateAndFire) and layer.offset is None
            neurons = BinaryNeurons(layer) if binary else AnyNeurons(layer, function)
            name = f"neurons_{len(self._neurons)}"
            self._network.add_module(name, neurons)
            self._neurons.append(neurons)
            graph, twin = self._network.graph, twins[node]
            with graph.inserting_after(twin):
                put = graph.call_module(name, (twins[node.all_input_nodes[0]],))
            twin.replace_all_uses_with(put)
            graph.erase_node(twin)
        self._network.recompile()
        self._network.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, images: Tensor, steps: int) -> Any:
        """Mean output over some steps, in the network's structure."""
        for neurons in self._neurons:
            neurons.reset()
        if images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        total = self._network(images)
        for _ in range(steps - 1):
            total = added(total, self._network(images))
        return total / steps if isinstance(total, Tensor) else total
