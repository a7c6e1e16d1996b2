"""Thresholds that climb from zero until few activations are clipped, in all layers at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, ClassVar

import torch
from torch import Tensor, fx

from conversion.fitting.facts import Calibration
from conversion.graph.roles import Role
from conversion.parts import check, register, searched
from conversion.plan.layer import per_channel
from conversion.scales.base import Scale


@register
@dataclass(frozen=True)
class ClipClimb(Scale):
    """Local threshold balancing: each threshold learns from the activations that its own layer clips.

    Every ReLU is clipped at its threshold θ, which starts at 0. Each batch runs through the clipped
    network, and each layer, on what it really receives there, moves

        θ += 2 c mean[(z - θ) 1(z > θ)]

    (one gradient step on the squared clipping error), but not beyond the largest value there, before it
    clips. No step is negative, so θ climbs towards the largest activation, and the number of iterations
    stops it early: few iterations give low thresholds, which are better at few time steps and lose more
    in the end.

    Parameters:
        iterations: batches seen; they start over when all have been. The paper takes 1000 for
            classification, 5000 for detection.
        c: step size; 1 in the authors' code.
        batch: most images in one step. The paper takes 100; the mean over fewer images differs only in
            noise, at a fraction of the time.
        per_channel: one threshold for each channel, or one for the layer.

    Source: Bu, Li, Yu 2025 (CVPR), arXiv 2409.03368; the mean of the authors' code in place of the
    paper's sum. The bound matters only where c > 1/2, for channels that hardly vary.
    """

    name: ClassVar[str] = "clip-climb"
    iterations: int = searched(1000, 30, 5000, log=True)
    c: float = 1.0
    batch: int = 8
    per_channel: bool = True

    def __post_init__(self) -> None:
        check(self.iterations >= 1, f"iterations must be at least 1, got {self.iterations}")
        check(self.c > 0, f"c must be positive, got {self.c}")
        check(self.batch >= 1, f"batch must be at least 1, got {self.batch}")

    def clips(self, most: int) -> str:
        """Thresholds stop climbing before the largest activation."""
        times = f"{most} times " if most > 1 else ""
        return f"clips what {times}the thresholds have not reached after {self.iterations} iterations"

    def fit_forwards(self, images: int) -> int:
        """Every iteration runs a batch."""
        return self.iterations * min(self.batch, images)

    def fit(self, calibration: Calibration) -> dict[str, Tensor]:
        """Thresholds [C] or [1] of all layers after the last iteration; 0 for a silent channel."""
        parts = [part for batch in calibration.batches for part in batch.split(self.batch)]
        clipped = _ClippedNetwork(calibration.plan.captured, dict(calibration.neuron_layers), self)
        for images in islice(cycle(parts), self.iterations):
            clipped.run(images)
        return {name: theta.float() for name, theta in clipped.thresholds.items()}


class _ClippedNetwork(fx.Interpreter):
    """The ANN with every ReLU clipped at a threshold that learns from what it cuts off."""

    def __init__(self, captured: fx.GraphModule, neurons: Mapping[fx.Node, Role], rule: ClipClimb) -> None:
        super().__init__(captured)
        self._neurons = neurons
        self._rule = rule
        self.thresholds: dict[str, Tensor] = {}  # [C] or [1]

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n not in self._neurons:
            return value
        name = self._neurons[n].name
        shared = (*(() if self._rule.per_channel else (1,)), 0, *range(2, value.ndim))
        if name not in self.thresholds:
            self.thresholds[name] = value.new_zeros(value.shape[1] if self._rule.per_channel else 1)
        theta = per_channel(self.thresholds[name], value.ndim).to(value.dtype)
        cut = (value - theta).clamp(min=0)
        step = 2 * self._rule.c * cut.mean(shared, keepdim=True)
        theta = theta + torch.minimum(step, cut.amax(shared, keepdim=True))
        self.thresholds[name] = theta.flatten()
        return torch.minimum(value, theta)
