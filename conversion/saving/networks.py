"""Converted networks of every kind as plain data, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from conversion.converted import Converted
from conversion.exits.network import EarlyExit
from conversion.exits.rules import EntropyExit
from conversion.fit import PerLength
from conversion.fitting.kept import KeptCalibration
from conversion.fitting.statistics import ActivationStatistics
from conversion.graph.operations import Kind
from conversion.graph.plain import CannotStore, Reader, Writer
from conversion.graph.plain_nodes import Captured
from conversion.network import SpikingNetwork
from conversion.parts import Part
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan, plan_of
from conversion.plan.window import Window
from conversion.quantised import QuantisedNetwork
from conversion.recipes import KINDS, Recipe
from conversion.saving import graphs
from conversion.saving.modules import ModuleReader, ModuleWriter


class NetworkWriter:
    """Writes a converted network.

    Args:
        calibration: write calibration images, too, where there are some.

    Attributes:
        tensors: table of all tensors.
    """

    def __init__(self, calibration: bool) -> None:
        self._calibration = calibration
        self._writer = Writer()
        self._modules = ModuleWriter(self._writer)
        self._graphs: dict[int, int] = {}
        self._written: list[dict[str, Any]] = []

    @property
    def tensors(self) -> list[Tensor]:
        """Table of all tensors."""
        return self._writer.tensors

    def write(self, network: Converted) -> dict[str, Any]:
        """Plain form of a network.

        Raises:
            CannotStore: something in it has none.
        """
        top = self._network(network)
        return {
            "network": top,
            "graphs": self._written,
            "modules": self._modules.table,
            "memory_mib": network.memory_mib,
            "provenance": self._writer.value(dict(network.provenance)),
        }

    def _network(self, network: Converted) -> dict[str, Any]:
        kind = type(network)
        if kind is EarlyExit:
            assert isinstance(network, EarlyExit)
            return {
                "kind": "early exit",
                "network": self._network(network.network),
                "ann": self._graph(network.ann),
                "calibration": self._kept(network.calibration),
                "exits": self._writer.value(network.exits),
            }
        plan = self._plan(network.plan)
        if kind is SpikingNetwork:
            assert isinstance(network, SpikingNetwork)
            layers = {name: self._writer.value(vars(layer)) for name, layer in network.layers.items()}
            return {
                "kind": "spiking",
                "plan": plan,
                "layers": list(layers.items()),
                "window": self._writer.value(network.window),
            }
        if kind is PerLength:
            assert isinstance(network, PerLength)
            fitted = [[t, self._network(one)] for t, one in network.fitted.items()]
            kept = self._kept(network.calibration)
            return {"kind": "per length", "plan": plan, "calibration": kept, "fitted": fitted}
        if kind is QuantisedNetwork:
            assert isinstance(network, QuantisedNetwork)
            return {"kind": "quantised", "plan": plan, "calibration": self._kept(network.calibration)}
        raise CannotStore(f"a network of class {kind.__module__}.{kind.__qualname__}")

    def _plan(self, plan: Plan) -> dict[str, Any]:
        roles, shapes = plan.tables()
        recipe = _recipe_of(plan)
        return {
            "graph": self._graph(plan.captured),
            "roles": [[index, self._writer.value(role)] for index, role in roles.items()],
            "shapes": [[index, list(shape)] for index, shape in shapes.items()],
            "recipe": {
                **{key: getattr(recipe, key) for key in ("name", "summary", "paper", "label")},
                **{kind: self._writer.value(getattr(recipe, kind)) for kind in KINDS},
            },
        }

    def _graph(self, captured: Any) -> int:
        if id(captured) not in self._graphs:
            self._graphs[id(captured)] = len(self._written)
            self._written.append(graphs.written(captured, self._writer, self._modules))
        return self._graphs[id(captured)]

    def _kept(self, kept: KeptCalibration) -> dict[str, Any]:
        statistics = [[name, self._writer.value(vars(one))] for name, one in kept.statistics.items()]
        batches = kept.batches if self._calibration else []
        return {"batches": self._writer.value(batches), "statistics": statistics}


class NetworkReader:
    """Reads what a `NetworkWriter` wrote.

    Args:
        data: plain form of a network.
        tensors: the writer's table, on the CPU.
    """

    def __init__(self, data: Mapping[str, Any], tensors: list[Tensor]) -> None:
        self._data = data
        self._reader = Reader(tensors, torch.device("cpu"))
        self._modules = ModuleReader(data["modules"], self._reader)
        self._graphs = [graphs.read(entry, self._reader, self._modules) for entry in data["graphs"]]

    def read(self) -> Converted:
        """The network.

        Raises:
            ValueError: the data are of none.
            RecipeError: a part of its recipe is unknown here.
        """
        network = self._network(self._data["network"])
        network.memory_mib = self._data["memory_mib"]
        network.provenance = self._reader.value(self._data["provenance"])
        return network.train(False)

    def _network(self, data: Mapping[str, Any]) -> Converted:
        kinds: dict[str, Callable[[Mapping[str, Any]], Converted]] = {
            "spiking": self._spiking,
            "per length": self._per_length,
            "quantised": self._quantised,
            "early exit": self._early_exit,
        }
        if data["kind"] not in kinds:
            raise ValueError(f"a network of an unknown kind, {data['kind']!r}")
        return kinds[data["kind"]](data)

    def _spiking(self, data: Mapping[str, Any]) -> SpikingNetwork:
        plan = self._plan(data["plan"])
        layers = {name: SpikingLayer(**self._reader.value(fields)) for name, fields in data["layers"]}
        window = self._reader.value(data["window"])
        names = [plan.roles[node].name for node in plan.nodes_of(Kind.NEURON)]
        if list(layers) != names or not isinstance(window, Window):
            raise ValueError(
                f"fitted layers {', '.join(map(str, layers))}, where neurons are {', '.join(names)}"
            )
        return SpikingNetwork(plan, layers, window)

    def _per_length(self, data: Mapping[str, Any]) -> PerLength:
        plan = self._plan(data["plan"])
        network = PerLength(plan, _recipe_of(plan), self._kept(data["calibration"]))
        for t, fitted in data["fitted"]:
            network.take(int(t), self._spiking(fitted))
        return network

    def _quantised(self, data: Mapping[str, Any]) -> QuantisedNetwork:
        statistics = self._kept(data["calibration"]).statistics
        return QuantisedNetwork(self._plan(data["plan"]), statistics, rounded=True)

    def _early_exit(self, data: Mapping[str, Any]) -> EarlyExit:
        inner = self._network(data["network"])
        rule = _recipe_of(inner.plan).exit
        if not isinstance(rule, EntropyExit):
            raise ValueError(f"exit '{rule.name}', which has no thresholds")
        kept = self._kept(data["calibration"])
        network = EarlyExit(inner, rule, self._graph(data["ann"]), kept.batches)
        network.exits.update(self._reader.value(data["exits"]))
        return network

    def _plan(self, data: Mapping[str, Any]) -> Plan:
        captured = self._graph(data["graph"])
        roles = {index: self._reader.value(role) for index, role in data["roles"]}
        shapes = {index: torch.Size(shape) for index, shape in data["shapes"]}
        count = len(captured.graph.nodes)
        if not all(type(index) is int and 0 <= index < count for index in (*roles, *shapes)):
            raise ValueError("a role or a shape of an operation that is not there")
        recipe = Recipe(**{key: self._reader.value(value) for key, value in data["recipe"].items()})
        for kind in KINDS:
            part = getattr(recipe, kind)
            if not isinstance(part, Part) or part.kind != kind:
                raise ValueError(f"{part!r} in place of a {kind} of the recipe")
        return plan_of(captured, roles, shapes, recipe)

    def _graph(self, number: Any) -> Captured:
        if type(number) is not int or not 0 <= number < len(self._graphs):
            raise ValueError(f"graph {number!r} of {len(self._graphs)}")
        return self._graphs[number]

    def _kept(self, data: Mapping[str, Any]) -> KeptCalibration:
        found = {}
        for name, fields in data["statistics"]:
            found[str(name)] = ActivationStatistics(str(name))
            vars(found[str(name)]).update(self._reader.value(fields))
        return KeptCalibration(self._reader.value(data["batches"]), found)


def _recipe_of(plan: Plan) -> Recipe:
    """The recipe that a plan's method is part of."""
    assert isinstance(plan.method, Recipe)
    return plan.method
