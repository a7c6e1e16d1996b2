"""Burst lengths layer by layer: long bursts where they matter, short ones where they only cost spikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import ClassVar

from conversion.allocation.base import Allocation
from conversion.allocation.budget import Option, choose
from conversion.allocation.compression import SpikeCompression
from conversion.errors import RecipeError
from conversion.fitting.facts import Calibration
from conversion.fitting.sensitivity import Sensitivity
from conversion.neurons import Neuron
from conversion.parts import check, register, searched
from conversion.plan.layer import SpikingLayer


@register
@dataclass(frozen=True)
class AdaptiveFire(Allocation):
    """Adaptive-firing neurons: the most spikes a step, γ, is searched for each layer.

    The recipe's neuron gives the γ that all layers start from. For each layer and each γ between
    `least` and that, the network runs with only this layer changed: its divergence from the ANN is
    the layer's sensitivity, the spikes of the layer are its cost. The γ of all layers minimise the
    sum of sensitivities with costs of at most `ratio` times those of γ = `desired` everywhere; then
    thresholds are fitted again.

    Parameters:
        desired: γ whose spikes set the budget.
        least: smallest γ.
        ratio: budget as a share of those spikes.
        refit: measure each γ with thresholds fitted for it, as they will be in the end. The authors
            measure with those of the first γ.
        compression: what `SpikeCompression` may lose afterwards, as its `ratio`; 0: leave thresholds.
        images: calibration images to measure on.
        time_steps: T; 0: the T of each read-out, for which the network is then fitted again.

    Source: Wang Z. et al. 2025 (AAAI), arXiv 2412.16219; 8, 4 and 1 for the three γ, and one training
    batch to measure on. For detection the authors take 16, 8 and 2.
    """

    name: ClassVar[str] = "adaptive-fire"
    desired: int = searched(4, 1, 16)
    least: int = 1
    ratio: float = searched(0.95, 0.3, 1.2)
    refit: bool = True
    compression: float = 0.0
    images: int = 8
    time_steps: int = 0

    def __post_init__(self) -> None:
        check(
            1 <= self.least <= self.desired,
            f"need 1 <= least <= desired, got least={self.least} and desired={self.desired}",
        )
        check(self.ratio > 0, f"ratio must be positive, got {self.ratio}")
        check(
            self.compression == 0 or self.compression >= 1,
            f"compression must be at least 1, or 0 for none, got {self.compression}",
        )
        check(self.images >= 1, f"images must be at least 1, got {self.images}")
        check(self.time_steps >= 0, f"time_steps must be positive, or 0 for T, got {self.time_steps}")

    @property
    def needs_time_steps(self) -> bool:
        """True unless T is given."""
        return not self.time_steps

    def assign(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """Layers with bursts of searched lengths.

        Raises:
            RecipeError: the recipe's neuron has no γ, or one below `desired`.
        """
        initial = self._initial(calibration)
        steps = self.time_steps or calibration.time_steps
        assert steps is not None
        sensitivity = Sensitivity(calibration, steps, self.images)
        unchanged = sensitivity.measure(layers)
        gammas = range(self.least, initial + 1)
        options: list[list[Option]] = [[] for _ in layers]
        for gamma in gammas:
            changed = self._changed(calibration, layers, gamma)
            for (name, layer), tried in zip(changed.items(), options, strict=True):
                found = unchanged if gamma == initial else sensitivity.measure({**layers, name: layer})
                tried.append(Option(found.spikes[name], found.divergence))
        affordable = sum(layer[self.desired - self.least].cost for layer in options)
        chosen = choose(options, self.ratio * affordable)
        neurons = {
            name: _with(layer.neuron, gammas[index])
            for (name, layer), index in zip(layers.items(), chosen, strict=True)
        }
        fitted = replace(calibration, neurons=neurons).layers()
        if not self.compression:
            return fitted
        compress = SpikeCompression(self.compression, images=self.images, time_steps=self.time_steps)
        return compress.assign(calibration, fitted)

    def _changed(
        self, calibration: Calibration, layers: Mapping[str, SpikingLayer], gamma: int
    ) -> dict[str, SpikingLayer]:
        """Every layer as it would be with this γ."""
        neurons = {name: _with(layer.neuron, gamma) for name, layer in layers.items()}
        if self.refit:
            return replace(calibration, neurons=neurons).layers()
        return {name: replace(layer, neuron=neurons[name]) for name, layer in layers.items()}

    def _initial(self, calibration: Calibration) -> int:
        neuron = calibration.plan.neuron
        gamma: int | None = getattr(neuron, "gamma", None)
        if gamma is None or "gamma" not in {field.name for field in fields(neuron)}:
            raise RecipeError(
                f"allocation '{self.name}' searches the longest burst, gamma, which neuron '{neuron.name}' "
                "does not have; use neuron: {name: burst, gamma: 8}"
            )
        if gamma < self.desired:
            raise RecipeError(
                f"allocation '{self.name}' starts from the neuron's gamma, which must be at least "
                f"desired={self.desired}, got {gamma}"
            )
        return gamma


def _with(neuron: Neuron, gamma: int) -> Neuron:
    return replace(neuron, gamma=gamma)  # type: ignore[call-arg]
