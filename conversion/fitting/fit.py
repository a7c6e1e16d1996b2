"""Fit a recipe to a captured network: every part in its turn, then the spiking network."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Mapping

import torch
from torch import Tensor

from conversion.compiled.fixed_point import Precision
from conversion.converted import DEFAULT_CHUNK, Converted, checked_time_steps
from conversion.fitting.facts import Calibration
from conversion.fitting.layers import SpikingLayer
from conversion.fitting.statistics import ActivationStatistics
from conversion.graph.nodes import last_uses
from conversion.graph.operations import Kind
from conversion.graph.plan import Entry, Plan
from conversion.network import SpikingNetwork
from conversion.outputs import Readout
from conversion.quantisation.quantiser import Quantiser


def fit(calibration: Calibration) -> SpikingNetwork:
    """Spiking network of a plan: thresholds, then what is chosen by layer, then corrections.

    Raises:
        CalibrationError: a threshold is not finite; names the layer.
    """
    plan = calibration.plan
    recipe = plan.recipe
    layers = recipe.allocation.assign(calibration, calibration.layers())
    layers = recipe.correction.fit(calibration, layers)
    window = recipe.readout.window(calibration, layers)
    return SpikingNetwork(plan, layers, report(plan, layers), window)


class PerLength(Converted):
    """Networks of a recipe that must know T: one for each t, fitted when it is first read out.

    Args:
        plan: captured graph; stays as the ANN has it.
        batches: calibration images.
        statistics: activation statistics of every neuron layer.
    """

    def __init__(
        self, plan: Plan, batches: list[Tensor], statistics: Mapping[str, ActivationStatistics]
    ) -> None:
        super().__init__(plan, report(plan, {}))
        self._batches = batches
        self._statistics = statistics
        self._fitted: dict[int, SpikingNetwork] = {}

    def at(self, t: int) -> SpikingNetwork:
        """The network fitted for T = t."""
        if t not in self._fitted:
            with torch.inference_mode(False), torch.no_grad():
                calibration = Calibration(copied(self.plan), self._batches, self._statistics, t)
                self._fitted[t] = fit(calibration).train(False)
        self._fitted[t].memory_mib = self.memory_mib
        return self._fitted[t]

    def simulate(
        self,
        images: Tensor,
        time_steps: int | Iterable[int],
        chunk: int = DEFAULT_CHUNK,
        precision: Precision = "float32",
    ) -> Generator[Readout, None, None]:
        """Read-out of a network of its own at each time step; arguments as `SpikingNetwork.simulate`."""
        for t in self.recipe.checked(checked_time_steps(time_steps)):
            yield from self.at(t).simulate(images, (t,), chunk, precision)


def copied(plan: Plan) -> Plan:
    """The same plan on a copy of the graph and its weights."""
    captured = copy.deepcopy(plan.captured)
    twin = dict(zip(plan.captured.graph.nodes, captured.graph.nodes, strict=True))
    roles = {twin[node]: role for node, role in plan.roles.items()}
    shapes = {twin[node]: shape for node, shape in plan.shapes.items()}
    return Plan(captured, roles, plan.recipe, shapes, last_uses(captured.graph))


def report(plan: Plan, layers: Mapping[str, SpikingLayer]) -> list[Entry]:
    """What became of every operation, in graph order."""
    recipe = plan.recipe
    entries = []
    for node, role in plan.roles.items():
        became = f"kept ({role.kind.value})"
        if role.kind is Kind.POOLING and not isinstance(recipe.neuron, Quantiser):
            became = f"{recipe.pooling.name} pooling"
            rule = plan.pooling_of(node)
            if rule != recipe.pooling.rule(spikes=False):
                became = f"{rule.name} pooling, as it does not receive the spikes of one layer for it alone"
        elif role.kind is Kind.UNPOOLING:
            became = "unpooling where the running maximum is"
        elif role.kind is Kind.NEURON:
            became = f"{recipe.neuron.name}"
            if role.name in layers:
                threshold = layers[role.name].threshold
                low, high = float(threshold.min()), float(threshold.max())
                became += f", threshold {low:.4g}" + (f" to {high:.4g}" if high > low else "")
            elif recipe.needs_time_steps:
                became += ", fitted for each number of time steps"
        if role.kind is not Kind.SHAPE:
            entries.append(Entry(role.name, role.operation, became))
    return entries
