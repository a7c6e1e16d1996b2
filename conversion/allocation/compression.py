"""Larger thresholds where that costs little: fewer, larger spikes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from conversion.allocation.base import Allocation
from conversion.allocation.budget import Option, choose
from conversion.fitting.facts import Calibration
from conversion.fitting.sensitivity import Sensitivity
from conversion.parts import check, register, searched
from conversion.plan.layer import SpikingLayer

ATTEMPTS = 6  # budgets tried, each half of the one before


@register
@dataclass(frozen=True)
class SpikeCompression(Allocation):
    """Sensitivity spike compression: the threshold of each layer is multiplied by a searched factor.

    For each layer and each factor 1, 1 + `step`, ... up to `largest`, the network runs with only this
    layer changed: its divergence from the ANN is the layer's sensitivity, the spikes of the layer are
    what is to be saved. Factors of all layers minimise the spikes while what the sensitivities exceed
    that of the unchanged network by adds up to at most (`ratio` - 1) times it.

    Layers measured one by one say little of all of them together, so the result is measured too, and
    the budget is halved until its divergence is at most `ratio` times that of the unchanged network.
    The paper instead bounds the sum of sensitivities by 0.95 times as many of the unchanged network,
    and measures no more.

    Parameters:
        ratio: how much larger the divergence may become.
        step: between two factors.
        largest: factor. A layer's factors end at the first that takes the whole budget.
        images: calibration images to measure on.
        time_steps: T; 0: the T of each read-out, for which the network is then fitted again.

    Source: Wang Z. et al. 2025 (AAAI), arXiv 2412.16219, with factors 1, 1.5, ..., 10.
    """

    name: ClassVar[str] = "spike-compression"
    ratio: float = searched(1.2, 1.0, 3.0)
    step: float = 0.5
    largest: float = 10.0
    images: int = 8
    time_steps: int = 0

    def __post_init__(self) -> None:
        check(self.ratio >= 1, f"ratio must be at least 1, got {self.ratio}")
        check(self.step > 0, f"step must be positive, got {self.step}")
        check(self.largest >= 1, f"largest must be at least 1, got {self.largest}")
        check(self.images >= 1, f"images must be at least 1, got {self.images}")
        check(self.time_steps >= 0, f"time_steps must be positive, or 0 for T, got {self.time_steps}")

    @property
    def needs_time_steps(self) -> bool:
        """True unless T is given."""
        return not self.time_steps

    def assign(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """Layers with thresholds multiplied by searched factors."""
        steps = self.time_steps or calibration.time_steps
        assert steps is not None
        sensitivity = Sensitivity(calibration, steps, self.images)
        unchanged = sensitivity.measure(layers)
        budget = (self.ratio - 1) * unchanged.divergence
        count = int((self.largest - 1) / self.step + 1e-9) + 1
        factors = [1 + self.step * number for number in range(count)]
        options: list[list[Option]] = []
        for name, layer in layers.items():
            tried = [Option(0.0, unchanged.spikes[name])]
            for factor in factors[1:]:
                found = sensitivity.measure({**layers, name: scaled(layer, factor)})
                more = found.divergence - unchanged.divergence
                if more > budget:
                    break
                tried.append(Option(max(more, 0.0), found.spikes[name]))
            options.append(tried)
        for attempt in range(ATTEMPTS):
            chosen = choose(options, budget / 2**attempt)
            changed = {
                name: scaled(layer, factors[index])
                for (name, layer), index in zip(layers.items(), chosen, strict=True)
            }
            if sensitivity.measure(changed).divergence <= self.ratio * unchanged.divergence:
                return changed
        return dict(layers)


def scaled(layer: SpikingLayer, factor: float) -> SpikingLayer:
    """A layer with its thresholds multiplied; a constant current that is half a threshold grows with them.

    Neurons that a threshold keeps below the bound of their activation stay below it.
    """
    highest = layer.highest_threshold if layer.neuron.bounded else math.inf
    factors = (highest / layer.threshold).clamp(max=factor)
    offset = None if layer.offset is None else layer.offset * factors
    return replace(layer, threshold=layer.threshold * factors, offset=offset)
