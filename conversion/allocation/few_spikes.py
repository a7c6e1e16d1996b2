"""Coefficients of few-spikes neurons, fitted to the inputs of each layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, fx

from conversion.allocation.base import Allocation
from conversion.errors import RecipeError
from conversion.fitting.facts import Calibration
from conversion.functions.few_spikes import fit_coefficients
from conversion.graph.roles import Role
from conversion.neurons import FewSpikes
from conversion.parts import check, register
from conversion.plan.layer import SpikingLayer


@register
@dataclass(frozen=True)
class FittedSpikes(Allocation):
    """Thresholds, resets and weights of every step, for each layer whose function is no ReLU.

    They minimise the mean squared error of the function on the layer's own input distribution in the ANN; see
    `conversion.functions.few_spikes`. Neurons of a layer share them, and one threshold.

    Parameters:
        samples: input values that they are fitted to, and the least and the largest one.
        iterations: of the refinement by gradient, for at most 16 steps; 0 for none.

    Source: Stöckl and Maass 2021, arXiv 2002.00860.
    """

    name: ClassVar[str] = "few-spikes"
    fits_functions: ClassVar[bool] = True
    samples: int = 512
    iterations: int = 100

    def __post_init__(self) -> None:
        check(self.samples >= 1, f"samples must be at least 1, got {self.samples}")
        check(self.iterations >= 0, f"iterations must not be negative, got {self.iterations}")

    @property
    def needs_time_steps(self) -> bool:
        """Coefficients are for one number of steps."""
        return True

    @property
    def floor(self) -> str:
        """The approximation."""
        return "approximates functions other than a ReLU by T weighted spikes"

    def assign(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """Layers with the coefficients of their functions.

        Raises:
            RecipeError: another neuron than `few-spikes`, or slopes that differ by channel; names the layer.
        """
        neuron, steps = calibration.plan.neuron, calibration.time_steps
        assert steps is not None
        if not isinstance(neuron, FewSpikes):
            raise RecipeError(f"allocation '{self.name}' fits neuron 'few-spikes', got '{neuron.name}'")
        wanted = {node: role for node, role in calibration.neuron_layers if needs_coefficients(role)}
        found = dict(layers)
        for node, x in self._inputs(calibration, wanted).items():
            role = wanted[node]
            if isinstance(role.slope, tuple):
                raise RecipeError(
                    f"layer '{role.name}' ({role.operation}): neuron 'few-spikes' has one function for all "
                    "channels, and slopes differ; use recipe tracking"
                )
            layer = layers[role.name]
            threshold = torch.full_like(layer.threshold, float(layer.threshold.amax()))
            found[role.name] = replace(
                layer, threshold=threshold, neuron=self._fitted(role, x, float(threshold.flatten()[0]), steps)
            )
        return found

    def _fitted(self, role: Role, x: Tensor, threshold: float, steps: int) -> FewSpikes:
        def function(scaled: Tensor) -> Tensor:
            return role.activation(scaled * threshold) / threshold

        scaled = x.double() / threshold
        found = fit_coefficients(function, scaled, steps, self.iterations)
        error = float((found(scaled) - function(scaled)).abs().max())
        return FewSpikes(
            tuple(found.thresholds.tolist()),
            tuple(found.resets.tolist()),
            tuple(found.values.tolist()),
            error,
        )

    def _inputs(self, calibration: Calibration, wanted: Collection[fx.Node]) -> dict[fx.Node, Tensor]:
        """Values [S] that arrive in each layer of the ANN."""
        if not wanted:
            return {}
        sampler = _Sampler(calibration.plan.captured, wanted, self.samples)
        for batch in calibration.batches:
            sampler.run(batch)
        return {node: sampler.chosen(node) for node in wanted}


def needs_coefficients(role: Role) -> bool:
    """True for layers whose function is no ReLU, bounded or not."""
    return role.function is not None or any(role.slopes)


class _Sampler(fx.Interpreter):
    """Runs the ANN and keeps some inputs of some layers."""

    def __init__(self, captured: fx.GraphModule, wanted: Collection[fx.Node], count: int) -> None:
        super().__init__(captured)
        self._wanted = wanted
        self._count = count
        self._kept: dict[fx.Node, list[Tensor]] = {node: [] for node in wanted}
        self._order = torch.Generator().manual_seed(0)

    def run_node(self, n: fx.Node) -> Any:
        if n in self._kept:
            values = self.env[n.all_input_nodes[0]].detach().flatten()
            self._kept[n].append(torch.cat([self._some(values), values.amin()[None], values.amax()[None]]))
        return super().run_node(n)

    def chosen(self, node: fx.Node) -> Tensor:
        """Some of the values of all batches, with the least and the largest."""
        values = torch.cat(self._kept[node])
        return torch.cat([self._some(values), values.amin()[None], values.amax()[None]])

    def _some(self, values: Tensor) -> Tensor:
        places = torch.randint(len(values), (self._count,), generator=self._order)
        return values[places.to(values.device)]
