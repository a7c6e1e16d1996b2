"""Fit a recipe to a captured network: every part in its turn, then the spiking network."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from conversion.converted import Converted
from conversion.fitting.alongside import Alongside
from conversion.fitting.facts import Calibration
from conversion.fitting.kept import KeptCalibration
from conversion.graph.operations import Kind
from conversion.network import SpikingNetwork
from conversion.outputs import Readout
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan
from conversion.recipes import Recipe
from conversion.report import in_words
from conversion.simulation.backend import Precision


def fit(recipe: Recipe, calibration: Calibration) -> SpikingNetwork:
    """Spiking network of a recipe: thresholds, then what is chosen by layer, then corrections.

    Where a correction changes weights, the network gets a copy of the graph.

    Raises:
        CalibrationError: a threshold is not finite; names the layer.
    """
    if recipe.correction.changes_weights:
        calibration = replace(calibration, plan=copy.deepcopy(calibration.plan))
    layers = recipe.allocation.assign(calibration, calibration.layers())
    layers = recipe.correction.fit(calibration, layers)
    window = recipe.readout.window(calibration, layers)
    return SpikingNetwork(calibration.plan, layers, window)


class PerLength(Converted):
    """Networks of a recipe that must know T: one for each t, fitted by `fit_for`, or when it is read out.

    Args:
        plan: captured graph; stays as the ANN has it.
        recipe: fits the networks.
        calibration: images, and activation statistics of every neuron layer.
    """

    def __init__(self, plan: Plan, recipe: Recipe, calibration: KeptCalibration) -> None:
        super().__init__(plan)
        self._recipe = recipe
        self.calibration = calibration
        self._fitted = nn.ModuleDict()  # by t, in digits
        self._beside: dict[int, Alongside] | None = None  # the ANN, while networks are fitted together

    @property
    def fitted(self) -> dict[int, SpikingNetwork]:
        """The networks that are fitted, by their T."""
        return {t: self._network(t) for t in sorted(map(int, self._fitted))}

    def at(self, t: int) -> SpikingNetwork:
        """The network fitted for T = t."""
        self._fit(t)
        network = self._network(t)
        network.memory_mib = self.memory_mib
        return network

    def _network(self, t: int) -> SpikingNetwork:
        network = self._fitted[str(t)]
        assert isinstance(network, SpikingNetwork)
        return network

    def is_fitted(self, t: int) -> bool:
        """True where a read-out at t needs no fit any more."""
        return str(t) in self._fitted

    def fit_for(self, time_steps: int | Iterable[int]) -> Self:
        """Fit a network for each of these time steps; they share the ANN that runs beside them."""
        self._beside = {}
        try:
            return super().fit_for(time_steps)
        finally:
            self._beside = None

    def _fit(self, t: int) -> None:
        if self.is_fitted(t):
            return
        batches = self.calibration.needed(f"recipe '{self.recipe.label}' at T = {t}")
        with torch.inference_mode(False), torch.no_grad():
            beside = {} if self._beside is None else self._beside
            facts = Calibration(
                self.plan, batches, self.calibration.statistics, t, self._recipe.scale, beside=beside
            )
            found = fit(self._recipe, facts)
            self._fitted[str(t)] = found.train(False)

    def take(self, t: int, network: SpikingNetwork) -> None:
        """Take over a network that was fitted for T = t."""
        self._fitted[str(t)] = network

    def _readouts(
        self, images: Tensor, steps: list[int], chunk: int, precision: Precision
    ) -> Generator[Readout, None, None]:
        """Read-out of a network of its own at each time step."""
        for t in steps:
            if not self.is_fitted(t):
                self._say_fitting(t)
            yield from self.at(t)._readouts(images, [t], chunk, precision)

    def _thresholds_in_words(self) -> str:
        ranges = {t: in_words(*network.thresholds.values()) for t, network in self.fitted.items()}
        return "; ".join(f"{range_} for T = {t}" for t, range_ in ranges.items()) or "fitted for each T"

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Make a network for each T of the state; what was fitted before is of other calibration images."""
        start = f"{prefix}_fitted."
        lengths = {key.removeprefix(start).partition(".")[0] for key in state_dict if key.startswith(start)}
        self._fitted = nn.ModuleDict({t: self._unfitted(int(t)) for t in sorted(lengths, key=int)})
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _unfitted(self, t: int) -> SpikingNetwork:
        """A network whose thresholds are still to come."""
        plan = copy.deepcopy(self.plan) if self._recipe.correction.changes_weights else self.plan
        like = next(iter(self.calibration.batches), torch.empty(0))
        one = torch.ones(1, device=like.device)
        neurons = [plan.roles[node] for node in plan.nodes_of(Kind.NEURON)]
        layers = {role.name: SpikingLayer(plan.neuron, one, one, None, role.ceiling) for role in neurons}
        return SpikingNetwork(plan, layers).train(False)
