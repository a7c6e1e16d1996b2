"""Synapses of a converted network, one by one: each unit spikes alone through the network's own graph.

Every source but one is silent, in double precision; what changes at the input of a layer, or of a product of
two signals, meets every weight that is not 0, or every value of the other factor.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from conversion.graph.operations import PRODUCTS, Kind

CHANGED = 1e-9
SILENT = (Kind.NEURON, Kind.FUNCTION, Kind.POOLING, Kind.UNPOOLING)


class _Run(fx.Interpreter):
    """Runs a graph with other values in some places; keeps what layers and products read."""

    def __init__(self, captured: fx.GraphModule, roles: Any, exchange: Callable[[fx.Node, Any], Any]) -> None:
        super().__init__(captured)
        self.read: dict[fx.Node, tuple[Any, Any]] = {}
        self.roles, self.exchange = roles, exchange

    def run_node(self, n: fx.Node) -> Any:
        if _reads(self.roles, n):
            self.read[n] = self.fetch_args_kwargs_from_env(n)
        return self.exchange(n, super().run_node(n))


def _reads(roles: Any, node: fx.Node) -> bool:
    kind = roles[node].kind if node in roles else None
    return kind is Kind.WEIGHTED or (kind is Kind.FUNCTION and node.target in PRODUCTS)


def differing(snn: Any, image: Tensor) -> tuple[int, list[tuple[str, str]]]:
    """Pairs of a layer and a source whose fan-outs are others than these, and how many pairs there are.

    Args:
        snn: a converted network.
        image: [1, ...]; only its size matters.
    """
    wiring, plan = snn.connectivity(image), copy.deepcopy(snn.plan)
    captured, roles, image = plan.captured.double(), plan.roles, torch.zeros_like(image).double()
    shapes: dict[fx.Node, torch.Size] = {}

    def note(node: fx.Node, value: Any) -> Any:
        if isinstance(value, Tensor):
            shapes[node] = value.shape
        return value

    def silent(node: fx.Node, value: Any) -> Any:
        if node in roles and roles[node].kind in SILENT:
            return fx.node.map_aggregate(value, lambda v: torch.zeros_like(v) if isinstance(v, Tensor) else v)
        return value

    _Run(captured, roles, note).run(image.clone())
    at_rest = _Run(captured, roles, silent)
    at_rest.run(image.clone())
    tried, found = 0, []
    for source in [node for node, role in roles.items() if role.name in wiring.units and node in shapes]:
        shape = shapes[source]

        def alone(node: fx.Node, value: Any, source: fx.Node = source, shape: torch.Size = shape) -> Any:
            units = torch.eye(shape.numel(), dtype=torch.float64)
            return units.view(-1, *shape[1:]) if node is source else silent(node, value)

        spiking = _Run(captured, roles, alone)
        spiking.run(image.repeat(shape.numel(), *[1] * (image.ndim - 1)))
        for reader in spiking.read:
            if roles[reader].moved:
                continue  # images are elsewhere
            for layer, counted in _counted(reader, roles[reader], at_rest, spiking, shape.numel(), captured):
                synapses = next(one for one in wiring.layers if one.name == layer)
                if synapses.drive in ("current", "analog"):
                    continue
                name, tried = roles[source].name, tried + 1
                reached = wiring.reached(synapses, name) if name in synapses.fanout else torch.zeros(shape)
                if not torch.equal(reached.double().expand(shape), counted.view(shape)):
                    found.append((layer, name))
    return tried, found


def _counted(
    node: fx.Node, role: Any, at_rest: _Run, spiking: _Run, units: int, captured: fx.GraphModule
) -> list[tuple[str, Tensor]]:
    """For each layer that a node is, products that each unit causes."""
    args, kwargs = spiking.read[node]
    before = at_rest.read[node][0]
    first = int(isinstance(args[0], str))  # the equation of an einsum
    places = [first] if role.kind is Kind.WEIGHTED else [first, first + 1]
    found = []
    for place, name in zip(places, (role.name, f"{role.name} (second factor)"), strict=False):
        rest = before[place].repeat(units, *[1] * (before[place].ndim - 1))
        changed = ((args[place] - rest).abs() > CHANGED).double()
        if role.kind is Kind.WEIGHTED:
            products = _weighted(captured, node, args, kwargs, changed)
        else:
            ones = [torch.ones_like(arg) if isinstance(arg, Tensor) else arg for arg in args]
            products = _function(node)(*[*ones[:place], changed, *ones[place + 1 :]], **kwargs)
        found.append((name, products.reshape(units, -1).sum(1).round()))
    return found


def _weighted(captured: fx.GraphModule, node: fx.Node, args: Any, kwargs: Any, changed: Tensor) -> Tensor:
    if node.op == "call_module":
        twin: Any = copy.deepcopy(captured.get_submodule(str(node.target)))
        for parameter in twin.parameters():
            parameter.data = (parameter != 0).double()
        if twin.bias is not None:
            twin.bias.data.zero_()
        return twin(changed)
    weight, *more = args[1:]
    more = [None if isinstance(value, Tensor) else value for value in more]  # the bias
    others = {key: value for key, value in kwargs.items() if key != "bias"}
    return _function(node)(changed, (weight != 0).double(), *more, **others)


def _function(node: fx.Node) -> Callable[..., Tensor]:
    return getattr(torch, node.target) if isinstance(node.target, str) else node.target
