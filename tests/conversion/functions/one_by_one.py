"""Synaptic operations counted one by one, where spikes reach a layer by moves alone, while a network runs."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn

from conversion.graph.operations import PRODUCTS, Kind
from conversion.signals.signals import Signal
from conversion.simulation.choice import use
from conversion.simulation.pytorch.layers import TorchLayers


class Counting:
    """Beside each value that is made of spikes: the size of one spike at every place."""

    def __init__(self, monkeypatch) -> None:
        self.found: dict[str, float] = {}
        self._sizes: dict[fx.Node, Any] = {}
        self._original = TorchLayers.evaluate
        monkeypatch.setattr(
            TorchLayers, "evaluate", lambda layers, node, values, steps: self(layers, node, values, steps)
        )

    def __call__(self, layers: Any, node: fx.Node, values: Any, steps: int) -> Any:
        result = self._original(layers, node, values, steps)
        role = layers._plan.roles.get(node)
        if role is None:
            return result
        signals = [
            n for n in node.all_input_nodes if isinstance(values[n], Signal) and n not in constants(layers)
        ]
        if role.kind is Kind.NEURON:
            threshold = layers._fitted.layers[role.name].threshold
            sizes = torch.ones_like(result.timed[:1]) * threshold
            self._sizes[node] = Signal(sizes.flatten(0, 1), 1)
        elif role.kind is Kind.ROUTING:
            moved = [
                n for n in node.all_input_nodes if n in layers._plan.roles and n not in constants(layers)
            ]
            moved = [n for n in moved if layers._plan.roles[n].kind is not Kind.SHAPE]
            if moved and all(n in self._sizes for n in moved):
                self._sizes[node] = self._original(layers, node, {**values, **self._sizes}, 1)
        elif role.kind is Kind.WEIGHTED and signals[0] in self._sizes:
            self._count(role.name, products_of(layers, node, values, self._spikes(values, signals[0])))
        elif role.kind is Kind.FUNCTION and node.target in PRODUCTS and len(signals) == 2:
            for name, source in zip((role.name, f"{role.name} (second factor)"), signals, strict=True):
                if source in self._sizes:
                    self._count(name, met(layers, node, values, source, self._spikes(values, source)))
        return result

    def _count(self, name: str, number: Tensor) -> None:
        self.found[name] = self.found.get(name, 0.0) + float(number)

    def _spikes(self, values: Any, source: fx.Node) -> Tensor:
        """Spikes in a value [T * B, ...], whatever their sign."""
        signal = values[source]
        size = self._sizes[source].over(signal.steps).data
        spikes = torch.where(size != 0, signal.data / size, 0.0).abs()
        torch.testing.assert_close(spikes, spikes.round(), rtol=0, atol=1e-2)
        return spikes.round().double()


def constants(layers: Any) -> set[fx.Node]:
    return {node for node, role in layers._plan.roles.items() if role.kind is Kind.CONSTANT}


def products_of(layers: Any, node: fx.Node, values: Any, spikes: Tensor) -> Tensor:
    """Products of spikes with the weights that are not 0."""
    if node.op == "call_module":
        twin: Any = copy.deepcopy(layers._plan.captured.get_submodule(str(node.target))).double()
        for parameter in twin.parameters():
            parameter.data = (parameter.data != 0).double()
        if twin.bias is not None:
            nn.init.zeros_(twin.bias)
        return twin(spikes).sum()
    _, weight, *more = fx.map_arg(node.args, lambda n: values[n])
    kwargs = {key: value for key, value in node.kwargs.items() if key != "bias"}
    if node.target is not torch.matmul and more:
        more[0] = None  # the bias
    function = getattr(torch, node.target) if isinstance(node.target, str) else node.target
    return function(spikes, (weight != 0).double(), *more, **kwargs).sum()


def met(layers: Any, node: fx.Node, values: Any, source: fx.Node, spikes: Tensor) -> Tensor:
    """Products of spikes of one factor with every value of the other, step by step."""
    steps = values[source].steps
    timed = spikes.unflatten(0, (steps, -1))
    function = getattr(torch, node.target) if isinstance(node.target, str) else node.target

    def factor(n: fx.Node, step: int) -> Any:
        if n is source:
            return timed[step]
        value = values[n]
        return torch.ones_like(value.over(steps).timed[step]).double() if isinstance(value, Signal) else value

    return sum(function(*fx.map_arg(node.args, lambda n, t=t: factor(n, t))).sum() for t in range(steps))


def counted(snn: Any, images: Tensor, steps: int, monkeypatch: Any) -> tuple[dict[str, float], Any]:
    """Synaptic operations by layer, and the read-out that the network gives."""
    with monkeypatch.context() as patch, use("pytorch"):
        counting = Counting(patch)
        (readout,) = snn.simulate(images, steps)
    return counting.found, readout
