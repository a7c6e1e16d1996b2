"""Which neurons are connected to which: exact fan-out of every spike, dense operations of every layer.

What a layer with weights receives is decided by its place in the graph, never by looking at values:

* ``spikes``: spikes, moved, summed or averaged on the way; each costs one operation per synapse.
* ``analog``: the input image or something computed from it alone; dense, once per image.
* ``current``: output of another layer with weights, no neuron between; dense, in every step.
* ``mixed``: spikes and analog values together; both costs.

A synaptic operation is a product of an input value of a layer and a weight that is not 0. A spike causes
those of all input values that it makes other than 0, each once. How many they are is linear in the spikes
where a spike reaches a value in one way only. So it is measured by running the graph on spike counts
(see `conversion.costs.wires`) and differentiating: the derivative of a layer's total with respect to a
neuron's count is the neuron's fan-out in that layer. Borders, strides, groups and dilation are thereby
exact. Where a spike may reach a value in several ways, sparse matrices say which it reaches
(`conversion.costs.paths`).

A fan-out depends on the position of a neuron, and on its channel only where a layer treats channels
differently. So channels whose fan-outs agree everywhere share one map, and spikes are counted no finer
(see `SpikeTally`): what is kept grows with the positions of a layer, not with its neurons. Where frames of
an image are folded into the batch axis, they count as channels do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from conversion.costs.fanout import dense_macs, layer_of, output_shape, products
from conversion.costs.spreads import spread_of
from conversion.costs.tally import FanOut, common_groups
from conversion.costs.wires import (
    Drive,
    Product,
    Wire,
    carried_by,
    mixes,
    moved,
    scaled,
    silence,
    spread,
    summed,
)
from conversion.graph.nodes import attribute, operation_of, shape_answer
from conversion.graph.operations import PRODUCTS, Kind
from conversion.plan.plan import Plan
from conversion.signals.signals import map_structure
from energy import Function

# The factor of a product that ranks first here has its MACs.
_DENSE: dict[Drive, int] = {"analog": 0, "spikes": 1, "mixed": 2, "current": 2}


@dataclass(frozen=True)
class LayerSynapses:
    """Synapses of one layer with weights."""

    name: str
    macs: float  # dense multiply-accumulates for one image
    drive: Drive
    fanout: Mapping[str, Tensor]  # source layer -> synapses reached by a spike, [G, ...] by group
    weights: int = 0  # number of weights, without biases
    biases: int = 0
    inputs: int = 0  # values that come in, for one image
    outputs: int = 0  # values that go out, for one image
    taps: int = 0  # kernel positions over all output channels; 0 for a linear layer

    def operations(self, spike_maps: Mapping[str, Tensor]) -> Tensor | float:
        """Synaptic operations that spikes [G, ...] cause: each spike times the synapses it reaches.

        Returns:
            A number on the device of the spikes; 0 where none arrive.
        """
        return sum((spike_maps[s] * fan).sum() for s, fan in self.fanout.items() if s in spike_maps)


@dataclass(frozen=True)
class Connectivity:
    """Synapses of a whole network for one image size."""

    layers: tuple[LayerSynapses, ...]
    units: Mapping[str, int]  # source layer -> units that can spike, for one image
    # source layer -> group of each channel, int64 [C], or [F, C] where the F frames of an image differ;
    # channels of a group have the same fan-outs
    groups: Mapping[str, Tensor] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)  # operation -> values it gives for one image
    functions: Mapping[str, Function] = field(default_factory=dict)  # what is evaluated, for one image

    @property
    def sizes(self) -> dict[str, int]:
        """Source layer -> number of its groups; does not read values of tensors."""
        found = dict.fromkeys(self.groups, 1)  # one group where no layer with weights reads them
        for layer in self.layers:
            found |= {source: len(fan) for source, fan in layer.fanout.items()}
        return found

    @property
    def macs(self) -> float:
        """Dense multiply-accumulates of the ANN for one image."""
        return sum(layer.macs for layer in self.layers)

    def reached(self, layer: LayerSynapses, source: str) -> Tensor:
        """Synapses of `layer` that one spike of each unit of `source` reaches, float64, as `groups`."""
        return layer.fanout[source][self.groups[source]]


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
        self._layers: list[tuple[LayerSynapses, dict[str, FanOut]]] = []
        self._counted: set[str] = set()  # products that turned out to be layers

    def run(self) -> Connectivity:
        wires: dict[fx.Node, Any] = {}
        values: dict[str, int] = {}
        for node in self._plan.captured.graph.nodes:
            if node.op != "output":
                wires[node] = self._visit(node, wires)
                values[node.name] = sum(wire.counts.numel() for wire in carried_by(wires[node]))
            for source in self._plan.last_use.get(node, ()):
                wires.pop(source, None)
        units = {name: leaf.numel() for name, leaf in self._leaves.items()}
        groups = {
            name: common_groups([fans[name] for _, fans in self._layers if name in fans], leaf.shape[1])
            for name, leaf in self._leaves.items()
        }
        layers = tuple(
            replace(layer, fanout={name: fan.regrouped(groups[name]) for name, fan in fans.items()})
            for layer, fans in self._layers
        )
        functions = {
            self._plan.roles[node].name: Function(
                self._plan.roles[node].operation,
                values[node.name],
                sum(values.get(source.name, 0) for source in node.all_input_nodes),
            )
            for node in self._plan.functions
        }
        return Connectivity(layers, units, groups, values, functions)

    def _visit(self, node: fx.Node, wires: dict[fx.Node, Any]) -> Any:
        if node.op == "placeholder":
            return Wire(silence(self._image, self._image.shape), analog=True)
        if node.op == "get_attr":
            return attribute(self._plan.captured, str(node.target))
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: wires[source])
        role = self._plan.roles.get(node)
        operation = operation_of(self._plan.captured, node)
        if role is None:
            return operation(*args, **kwargs)
        carried = carried_by([args, kwargs])
        bare_args, bare_kwargs = map_structure(self._silent, Wire, (args, kwargs))
        if role.kind is Kind.CONSTANT:
            return operation(*bare_args, **bare_kwargs)
        if role.kind is Kind.NEURON:
            return self._source(role.name, carried[0].counts.shape)
        if role.kind is Kind.FUNCTION:
            result = operation(*bare_args, **bare_kwargs)
            if node.target in PRODUCTS and len(carried) == 2:
                self._multiplied(role.name, operation, args, kwargs, result)
            return map_structure(partial(self._sent, carried), Tensor, result)
        if role.kind in (Kind.POOLING, Kind.UNPOOLING):
            shape = operation(*bare_args, **bare_kwargs).shape
            wire = carried[0]
            if wire.spikes and not wire.current:
                return self._source(role.name, shape)
            return Wire(silence(self._image, shape), analog=wire.analog, current=wire.current)
        if role.kind is Kind.SHAPE:
            return shape_answer(node, carried[0].counts.shape, args[1:], kwargs, self._silent(carried[0]))
        if role.kind is Kind.WEIGHTED:
            return self._weighted(role.name, node, carried[0], operation, bare_args, bare_kwargs)
        if role.kind is Kind.SUM:
            result = summed(operation, args, kwargs, self._image)
            several = {one for wire in carried for one in wire.products if one.widens}
            if len(carried) > 1 and len(several) > 1:
                return self._count_products(several, result)
            return result
        if role.kind is Kind.SCALE:
            return scaled(role.name, operation, args, kwargs, self._image)
        if role.kind is Kind.SPREAD:
            wire = carried[0]
            fixed = spread_of(self._plan.captured, node, operation, bare_args, bare_kwargs)
            result = spread(fixed, wire, operation(*bare_args, **bare_kwargs).shape)
            if wire.products and mixes(wire, fixed):
                return self._count_products(set(wire.products), result)
            return result
        return moved(operation, args, kwargs, _may_copy(self._plan.captured, node, bare_args, bare_kwargs))

    def _silent(self, wire: Wire) -> Tensor:
        """What runs on plain tensors in place of a signal."""
        return silence(self._image, wire.counts.shape, self._image.dtype)

    def _source(self, name: str, shape: torch.Size) -> Wire:
        leaf = silence(self._image, shape).requires_grad_()
        self._leaves[name] = leaf
        return Wire.of_source(name, leaf)

    def _sent(self, carried: Sequence[Wire], result: Tensor) -> Wire:
        """What a function sends: real numbers, which change over time where what arrives does."""
        moving = any(wire.spikes or wire.current for wire in carried)
        return Wire(silence(self._image, result.shape), analog=not moving, current=moving)

    def _multiplied(self, name: str, operation: Any, args: Any, kwargs: Any, result: Tensor) -> None:
        """A product of two signals as two layers: spikes of each side meet the stored values of the other."""
        ones = map_structure(lambda wire: torch.ones_like(wire.counts), Wire, (args, kwargs))
        macs = float(operation(*ones[0], **ones[1]).sum())
        sides = carried_by([args, kwargs])
        # Multiplied densely in every step beside a current, once if both are analog, and never beside spikes.
        dense = max(range(2), key=lambda side: (_DENSE[sides[side].drive()], -side))
        for side, wire in enumerate(sides):

            def meets(counts: Tensor, side: int = side) -> Tensor:
                places = iter(range(2))
                given = map_structure(
                    lambda one: counts if next(places) == side else torch.ones_like(one.counts),
                    Wire,
                    (args, kwargs),
                )
                total: Tensor = operation(*given[0], **given[1]).sum()
                return total

            found = LayerSynapses(
                name if side == 0 else f"{name} (second factor)",
                macs if side == dense else 0.0,
                wire.drive(),
                {},
                weights=sides[1 - side].counts.numel(),  # the stored values that it meets
                inputs=wire.counts.numel(),
                outputs=result.numel(),
            )
            self._layers.append((found, self._fanout(wire, meets)))

    def _weighted(self, name: str, node: fx.Node, wire: Wire, operation: Any, args: Any, kwargs: Any) -> Wire:
        layer = layer_of(self._plan.captured, node, args, kwargs)
        if layer.dimensions:
            shape = output_shape(layer, wire.counts)
        else:
            with torch.no_grad():
                shape = operation(*args, **kwargs).shape
        found = LayerSynapses(
            name,
            dense_macs(layer, wire.counts, shape.numel()),
            wire.drive(),
            {},
            weights=layer.weights,
            biases=layer.outputs if layer.bias else 0,
            inputs=wire.counts.numel(),
            outputs=shape.numel(),
            taps=layer.taps,
        )
        self._layers.append((found, self._fanout(wire, lambda counts: products(layer, counts))))
        return self._after_weights(wire, shape)

    def _count_products(self, found: set[Product], result: Wire) -> Wire:
        """Sums of products with different constants are a layer with weights, however they are written."""
        for product in sorted(found, key=lambda one: one.name):
            if product.name in self._counted:
                continue
            self._counted.add(product.name)
            layer = LayerSynapses(
                product.name,
                float(product.factor.numel()),
                product.wire.drive(),
                {},
                weights=product.weights,
                inputs=product.wire.counts.numel(),
                outputs=result.counts.numel(),
            )
            self._layers.append((layer, self._fanout(product.wire, product.operations)))
        after = self._after_weights(result, result.counts.shape)
        return replace(after, products=result.products)

    def _after_weights(self, wire: Wire, shape: torch.Size) -> Wire:
        moving = wire.spikes or wire.current
        return Wire(silence(self._image, shape), analog=not moving, current=moving)

    def _fanout(self, wire: Wire, operations: Callable[[Tensor], Tensor]) -> dict[str, FanOut]:
        """Fan-out of each source in a layer.

        Args:
            wire: what arrives at the layer.
            operations: (spikes at the layer's input) -> operations, linear and differentiable.
        """
        if not wire.spikes or wire.current:
            return {}
        found: dict[str, Tensor] = {}
        plain = [name for name in self._leaves if name in wire.sources - wire.merged]
        if plain:
            total = operations(wire.counts)
            leaves = [self._leaves[name] for name in plain]
            if total.requires_grad:
                gradients = torch.autograd.grad(total, leaves, retain_graph=True, allow_unused=True)
                found = {n: g for n, g in zip(plain, gradients, strict=True) if g is not None}
        if wire.merged:
            values = silence(self._image, wire.counts.shape).requires_grad_()
            (at_each,) = torch.autograd.grad(operations(values), values)
            for name in wire.merged:
                reached = torch.from_numpy(wire.paths.reached(name, at_each))
                if len(reached):
                    leaf = self._leaves[name]
                    found[name] = reached.to(leaf.device).view(leaf.shape)
        fans = {name: FanOut.of(found[name]) for name in self._leaves if name in found}
        return {name: fan for name, fan in fans.items() if bool(fan.maps.any())}


def _may_copy(captured: fx.GraphModule, node: fx.Node, args: Any, kwargs: Any) -> bool:
    """True where an operation may repeat values and drop others: the size of its result does not show it."""
    if node.op == "call_module":
        name = type(captured.get_submodule(str(node.target))).__name__
    else:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if name == "pad":
        return bool(kwargs.get("mode", args[2] if len(args) > 2 else "constant") != "constant")
    if name == "getitem":
        index = args[1] if isinstance(args[1], tuple) else (args[1],)
        return not all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in index)
    copying = ("index_select", "unfold", "Unfold", "gather", "take_along_dim", "written")
    return name in copying or name.startswith(("Reflection", "Replication", "Circular"))
