"""The plan of a converted network: captured graph, roles, thresholds, and what they came from."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx

from conversion.errors import ConversionError
from conversion.functions.elementwise import IDENTITY, Elementwise
from conversion.graph.nodes import last_uses
from conversion.graph.operations import SOURCES, Kind
from conversion.graph.roles import Role
from conversion.graph.tracing import IMAGE_SIZE
from conversion.neurons import Neuron
from conversion.plan.method import Method
from conversion.pooling import MaxPool, Pooling


@dataclass(frozen=True)
class Plan:
    """Everything a simulation needs besides the thresholds, which live on the network."""

    captured: fx.GraphModule
    roles: dict[fx.Node, Role]
    method: Method
    shapes: dict[fx.Node, torch.Size]  # per node, on one calibration batch
    last_use: dict[fx.Node, list[fx.Node]]  # node -> values that no later operation reads

    def on(self, captured: fx.GraphModule) -> Plan:
        """The same plan for a graph of the same operations."""
        twin = dict(zip(self.captured.graph.nodes, captured.graph.nodes, strict=True))
        roles = {twin[node]: role for node, role in self.roles.items()}
        shapes = {twin[node]: shape for node, shape in self.shapes.items()}
        return Plan(captured, roles, self.method, shapes, last_uses(captured.graph))

    def __deepcopy__(self, memo: dict[int, Any]) -> Plan:
        return self.on(copy.deepcopy(self.captured, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return plan_of, (self.captured, *self.tables(), self.method)

    def tables(self) -> tuple[dict[int, Role], dict[int, torch.Size]]:
        """Roles and shapes by the position of an operation in the graph, in their order."""
        positions = {node: index for index, node in enumerate(self.captured.graph.nodes)}
        roles = {positions[node]: role for node, role in self.roles.items()}
        return roles, {positions[node]: shape for node, shape in self.shapes.items()}

    def nodes_of(self, kind: Kind) -> list[fx.Node]:
        """Operations of one kind, in graph order."""
        return [node for node, role in self.roles.items() if role.kind is kind]

    @property
    def neuron(self) -> Neuron:
        """The method's neuron.

        Raises:
            TypeError: nothing spikes in this method.
        """
        if not isinstance(self.method.neuron, Neuron):
            raise TypeError(f"{self.method.neuron.name} does not spike; it cannot be simulated over time")
        return self.method.neuron

    @cached_property
    def depth(self) -> int:
        """Most neuron layers on one path from image to output."""
        depths: dict[fx.Node, int] = {}
        for node in self.captured.graph.nodes:
            role = self.roles.get(node)
            before = max((depths[source] for source in node.all_input_nodes), default=0)
            depths[node] = before + (role is not None and role.kind is Kind.NEURON)
        return max(depths.values(), default=0)

    def pooling_of(self, node: fx.Node) -> Pooling:
        """Rule of one max pool, which may depend on whether spikes reach it with no weights between."""
        pending, seen = list(node.all_input_nodes), set[fx.Node]()
        while pending:
            source = pending.pop()
            role = self.roles.get(source)
            if role is None or role.kind is Kind.WEIGHTED or source in seen:
                continue
            if role.kind is Kind.NEURON:
                return self.method.pooling.rule(spikes=True)
            seen.add(source)
            pending += source.all_input_nodes
        return self.method.pooling.rule(spikes=False)

    def telescoped(self, node: fx.Node) -> Elementwise | None:
        """Function by which the current of a layer of neurons is telescoped; None: its neurons need none.

        Neurons that rectify do a ReLU and its relatives by themselves. The identity commutes with means.
        """
        role = self.roles[node]
        if not isinstance(self.method.neuron, Neuron):  # a quantiser does a ReLU by itself
            return None if role.function in (None, IDENTITY) else role.activation
        if self.neuron.approximates or (self.neuron.rectifies and not beyond(self.neuron, role)):
            return None
        return None if role.activation == IDENTITY else role.activation

    def neuron_of(self, role: Role) -> Neuron:
        """The method's neuron as one layer has it: with its slope, or for values of both signs."""
        if not beyond(self.neuron, role):
            return self.neuron.with_slope(role.slope).of_layer(role.name)
        return ((self.neuron.both_signs if role.signed else None) or self.neuron).of_layer(role.name)

    @property
    def functions(self) -> list[fx.Node]:
        """Operations that evaluate a function of real numbers, in graph order."""
        return [
            node
            for node, role in self.roles.items()
            if role.kind is Kind.FUNCTION or (role.kind is Kind.NEURON and self.telescoped(node) is not None)
        ]

    def check_size(self, images: Tensor) -> None:
        """Refuse images of a size that the graph was not traced for.

        Raises:
            ConversionError: the network's code computes with sizes, and images have another one.
        """
        fixed = self.captured.meta.get(IMAGE_SIZE)
        if fixed is not None and tuple(images.shape[1:]) != tuple(fixed):
            raise ConversionError(
                f"the network's code computes with the size of its images, so it was converted for images "
                f"of size {tuple(fixed)}, got {tuple(images.shape[1:])}; convert it again with calibration "
                "images of that size"
            )

    @property
    def of_images(self) -> Any:
        """The output's structure with True where images follow each other, False for constants."""
        (output,) = (node for node in self.captured.graph.nodes if node.op == "output")
        return fx.map_arg(output.args[0], lambda node: node.op == "placeholder" or node in self.roles)

    def steps_run(self, t: int) -> int:
        """Every step that a read-out at t takes: those before it, its own, and the delays of layers."""
        return self._steps_before + self.neuron.latency(t, self.depth)

    def steps_between(self, t: int) -> int:
        """Steps from one read-out at t to the next where each layer works on another image (pipelined)."""
        return self._steps_before + self.neuron.interval(t)

    @property
    def _steps_before(self) -> int:
        return self.method.initial.steps_counted + self.neuron.coding.needs_rest


def beyond(neuron: Neuron, role: Role) -> bool:
    """True for activations that neurons which rectify do not do by themselves."""
    return role.function is not None or (any(role.slopes) and not neuron.leaky)


def plan_of(
    captured: fx.GraphModule, roles: dict[int, Role], shapes: dict[int, torch.Size], method: Method
) -> Plan:
    """Plan from the tables of `Plan.tables`."""
    nodes = list(captured.graph.nodes)
    by_node = {nodes[index]: role for index, role in roles.items()}
    sizes = {nodes[index]: shape for index, shape in shapes.items()}
    return Plan(captured, by_node, method, sizes, last_uses(captured.graph))


def last_sources(plan: Plan) -> frozenset[fx.Node]:
    """Neuron layers after which nothing fires or pools: their mean over time is all that counts."""
    firing: set[fx.Node] = set()  # or before something that does
    for node in reversed(plan.captured.graph.nodes):
        role = plan.roles.get(node)
        fires = role is not None and role.kind in SOURCES
        if fires or any(user in firing for user in node.users):
            firing.add(node)
    neurons = plan.nodes_of(Kind.NEURON)
    return frozenset(node for node in neurons if not any(user in firing for user in node.users))


_POOL_ARGUMENTS = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


def max_pool_of(captured: fx.GraphModule, node: fx.Node) -> MaxPool:
    """The max pooling that a node does."""
    if node.op == "call_module":
        return MaxPool.of_module(captured.get_submodule(str(node.target)))
    name = getattr(node.target, "__name__", "")
    names = ("output_size",) if "adaptive" in name else _POOL_ARGUMENTS
    settings = dict(zip(names, node.args[1:], strict=False)) | {
        key: value for key, value in node.kwargs.items() if key not in ("input", "return_indices")
    }
    return MaxPool.of_function(name, settings)
