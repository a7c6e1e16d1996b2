"""Thresholds from the currents of the spiking network itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.fitting.facts import Calibration
from conversion.fitting.spiking_pass import Arrival, SpikingPass
from conversion.parts import check, register, searched
from conversion.scales.base import Scale


@register
@dataclass(frozen=True)
class Balance(Scale):
    """Largest input current over time, neurons and images, layer by layer with all earlier layers spiking.

    Parameters:
        factor: times the largest current; below 1, more spikes and some clipping (Han et al.: 0.6 to 1).
        time_steps: steps that each layer is watched for. The papers watch as long as they read out.
        images: calibration images that are shown; memory grows with images times steps.
        per_channel: one threshold for each channel, or one for the layer.

    Sources: Sengupta et al. 2019, arXiv 1802.02627 (Poisson input, hard reset, one threshold a layer);
    Han, Srinivasan, Roy 2020 (CVPR), arXiv 2003.01811 (soft reset, factor). Here, the image enters as
    a constant current and neurons are those of the recipe, whose soft reset keeps what exceeds the
    threshold.
    """

    name: ClassVar[str] = "balance"
    runs_spikes: ClassVar[bool] = True
    factor: float = searched(1.0, 0.5, 1.0)
    time_steps: int = 64
    images: int = 32
    per_channel: bool = False

    def __post_init__(self) -> None:
        check(self.factor > 0, f"factor must be positive, got {self.factor}")
        check(self.time_steps >= 1, f"time_steps must be at least 1, got {self.time_steps}")
        check(self.images >= 1, f"images must be at least 1, got {self.images}")

    def clips(self, most: int) -> str:
        """What is above the share of the largest current that a step can send."""
        share = self.factor * most
        return f"clips activations above {share:g} of the largest current" if share < 1 else ""

    def fit_forwards(self, images: int) -> int:
        """All time steps of the images that are shown."""
        return min(self.images, images) * self.time_steps

    def fit(self, calibration: Calibration) -> dict[str, Tensor]:
        """Thresholds [C] or [1] of all layers."""
        plan = calibration.plan
        roles = {role.name: role for _, role in calibration.neuron_layers}
        found: dict[str, Tensor] = {}

        def rule(arrival: Arrival) -> None:
            current = arrival.current  # [T, B, C, ...]
            largest = current.transpose(0, 2).flatten(1).amax(1).clamp(min=0)
            found[arrival.name] = self.factor * (largest if self.per_channel else largest.max()[None])
            arrival.layer = calibration.layer(roles[arrival.name], found[arrival.name], current.ndim - 1)

        start = {
            role.name: calibration.layer(role, torch.ones(1), len(plan.shapes[node]))
            for node, role in calibration.neuron_layers
        }
        SpikingPass(plan, start, calibration.images(self.images), self.time_steps, rule).fit()
        return found
