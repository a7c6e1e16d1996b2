"""Who is connected to whom: exact fan-out of every spike, dense operations of every layer.

What a layer with weights receives is decided by its place in the graph, never by looking at values:

* ``spikes``: spikes, moved, summed or averaged on the way; each costs one operation per synapse.
* ``analog``: the input image or something computed from it alone; dense, once per image.
* ``current``: output of another layer with weights, no neuron between; dense, in every step.
* ``mixed``: spikes and analog values together; both costs.

The number of synapses that a spike reaches is linear in the spikes, so it is measured by running
the graph on spike counts, with every weight replaced by 1, and differentiating: the derivative of a
layer's total with respect to a neuron's count is the neuron's fan-out in that layer. Borders,
strides, groups and dilation are thereby exact.

A fan-out depends on the position of a neuron, and on its channel only where a layer treats channels
differently. So channels whose fan-outs agree everywhere share one map, and spikes are counted no finer
(see `SpikeTally`): what is kept grows with the positions of a layer, not with its neurons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, fx

from conversion.costs.fanout import dense_macs, spread, squash, synapses_hit
from conversion.costs.tally import FanOut, common_groups
from conversion.graph.nodes import attribute, operation_of, shape_answer
from conversion.graph.operations import Kind
from conversion.graph.plan import Plan
from conversion.simulation.signals import map_structure

Drive = Literal["analog", "spikes", "current", "mixed"]


@dataclass(frozen=True)
class SynapticLayer:
    """One layer with weights."""

    name: str
    macs: float  # dense multiply-accumulates for one image
    drive: Drive
    fanout: Mapping[str, Tensor]  # source layer -> synapses reached by a spike, [G, ...] by group
    weights: int = 0  # number of weights, without biases
    biases: int = 0
    inputs: int = 0  # values that come in, for one image
    outputs: int = 0  # values that go out, for one image
    taps: int = 0  # kernel positions over all output channels; 0 for a linear layer

    def synops(self, spike_maps: Mapping[str, Tensor]) -> float:
        """Synaptic operations that spikes [G, ...] cause: each spike times the synapses it reaches."""
        totals = [(spike_maps[s] * fan).sum() for s, fan in self.fanout.items() if s in spike_maps]
        return float(sum(totals))

    def arrivals(self, spikes: Mapping[str, float]) -> float:
        """Spikes sent by the layers that this one listens to, whether or not each has a synapse."""
        return sum(spikes.get(source, 0.0) for source in self.fanout)


@dataclass(frozen=True)
class Connectivity:
    """Synapses of a whole network for one image size."""

    layers: tuple[SynapticLayer, ...]
    units: Mapping[str, int]  # source layer -> units that can spike, for one image
    # source layer -> group of each channel, int64 [C]; channels of a group have the same fan-outs
    groups: Mapping[str, Tensor] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)  # operation -> values it gives for one image

    @property
    def macs(self) -> float:
        """Dense multiply-accumulates of the ANN for one image."""
        return sum(layer.macs for layer in self.layers)

    def reached(self, layer: SynapticLayer, source: str) -> Tensor:
        """Synapses of `layer` that one spike of each unit of `source` reaches, float64 [C, ...]."""
        return layer.fanout[source][self.groups[source]]


@dataclass(frozen=True)
class _Wire:
    """What a value carries: spike counts (differentiable), and whether anything else."""

    counts: Tensor  # [1, C, ...]
    spikes: bool = False
    analog: bool = False
    current: bool = False

    def drive(self) -> Drive:
        if self.current:
            return "current"
        if self.spikes:
            return "mixed" if self.analog else "spikes"
        return "analog"


def connectivity(plan: Plan, image: Tensor) -> Connectivity:
    """Measure the synapses of a network for one image [1, C, H, W] (only its size matters)."""
    with torch.inference_mode(False), torch.enable_grad():
        survey = _Survey(plan, torch.zeros_like(image))
        return survey.run()


class _Survey:
    def __init__(self, plan: Plan, image: Tensor) -> None:
        self._plan = plan
        self._image = image
        self._leaves: dict[str, Tensor] = {}
        self._layers: list[tuple[SynapticLayer, Tensor | None]] = []

    def run(self) -> Connectivity:
        wires: dict[fx.Node, Any] = {}
        values: dict[str, int] = {}
        for node in self._plan.captured.graph.nodes:
            if node.op != "output":
                wires[node] = self._visit(node, wires)
                values[node.name] = sum(wire.counts.numel() for wire in _wires_in(wires[node]))
            for source in self._plan.last_use.get(node, ()):
                wires.pop(source, None)
        found = [self._fanout(*entry) for entry in self._layers]
        units = {name: leaf.numel() for name, leaf in self._leaves.items()}
        groups = {
            name: common_groups([one[name] for one in found if name in one], leaf.shape[1])
            for name, leaf in self._leaves.items()
        }
        layers = tuple(
            replace(layer, fanout={name: one.regrouped(groups[name]) for name, one in fanout.items()})
            for (layer, _), fanout in zip(self._layers, found, strict=True)
        )
        return Connectivity(layers, units, groups, values)

    def _fanout(self, layer: SynapticLayer, total: Tensor | None) -> dict[str, FanOut]:
        found: dict[str, FanOut] = {}
        if total is not None and total.requires_grad and layer.drive in ("spikes", "mixed"):
            leaves = list(self._leaves.values())
            gradients = torch.autograd.grad(total, leaves, retain_graph=True, allow_unused=True)
            for source, gradient in zip(self._leaves, gradients, strict=True):
                if gradient is not None:
                    fanout = FanOut.of(gradient[0])
                    if bool(fanout.maps.any()):
                        found[source] = fanout
        return found

    def _visit(self, node: fx.Node, wires: dict[fx.Node, Any]) -> Any:
        if node.op == "placeholder":
            return _Wire(self._image, analog=True)
        if node.op == "get_attr":
            return attribute(self._plan.captured, str(node.target))
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: wires[source])
        role = self._plan.roles.get(node)
        operation = operation_of(self._plan.captured, node)
        if role is None:
            return operation(*args, **kwargs)
        carried = _wires_in([args, kwargs])
        bare_args, bare_kwargs = map_structure(lambda wire: wire.counts, _Wire, (args, kwargs))
        if role.kind is Kind.CONSTANT:
            return operation(*bare_args, **bare_kwargs)
        if role.kind is Kind.NEURON:
            return self._source(role.name, carried[0].counts)
        if role.kind in (Kind.POOLING, Kind.UNPOOLING):
            pooled = operation(*bare_args, **bare_kwargs)
            wire = carried[0]
            if wire.spikes and not wire.current:
                return self._source(role.name, pooled)
            return _Wire(_silence(pooled, pooled.shape), analog=wire.analog, current=wire.current)
        if role.kind is Kind.SHAPE:
            return shape_answer(node, carried[0].counts.shape, args[1:], kwargs, carried[0].counts)
        if role.kind is Kind.WEIGHTED:
            return self._weighted(role.name, node, carried[0], operation, bare_args, bare_kwargs)
        kinds = {
            "spikes": any(wire.spikes for wire in carried),
            "analog": any(wire.analog for wire in carried),
            "current": any(wire.current for wire in carried),
        }
        if role.kind is Kind.SUM:
            counts = carried[0].counts
            for wire in carried[1:]:
                counts = counts + wire.counts
            return _Wire(counts, **kinds)
        if role.kind is Kind.SCALE:
            return _Wire(carried[0].counts, **kinds)
        if role.kind is Kind.SPREAD:
            return _Wire(spread(operation, node, bare_args, bare_kwargs), **kinds)
        result = operation(*bare_args, **bare_kwargs)
        return map_structure(lambda counts: _Wire(counts, **kinds), Tensor, result)

    def _source(self, name: str, like: Tensor) -> _Wire:
        leaf = _silence(like, like.shape).requires_grad_()
        self._leaves[name] = leaf
        return _Wire(leaf, spikes=True)

    def _weighted(
        self, name: str, node: fx.Node, wire: _Wire, operation: Any, args: Any, kwargs: Any
    ) -> _Wire:
        layer = squash(self._plan.captured, node, args, kwargs)
        if layer.dimensions:
            hits = synapses_hit(layer, wire.counts)
            output = _silence(hits, torch.Size((len(hits), layer.outputs, *hits.shape[2:])))
            total = hits.sum() * (layer.outputs // layer.groups)
        else:
            with torch.no_grad():
                output = operation(*args, **kwargs)
            total = wire.counts.sum() * layer.outputs
        found = SynapticLayer(
            name,
            dense_macs(layer, wire.counts, output),
            wire.drive(),
            {},
            weights=layer.weights,
            biases=layer.outputs if layer.bias else 0,
            inputs=wire.counts.numel(),
            outputs=output.numel(),
            taps=layer.taps,
        )
        self._layers.append((found, total if wire.spikes and not wire.current else None))
        moving = wire.spikes or wire.current
        return _Wire(_silence(output, output.shape), analog=not moving, current=moving)


def _silence(like: Tensor, shape: torch.Size) -> Tensor:
    """No spikes at all: zeros of one shape that take the memory of one number."""
    return like.new_zeros(()).expand(shape)


def _wires_in(values: Any) -> list[_Wire]:
    found: list[_Wire] = []
    map_structure(found.append, _Wire, values)
    return found
