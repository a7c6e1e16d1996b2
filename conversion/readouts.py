"""Which time steps a read-out averages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, fx

from conversion.fitting.facts import Calibration
from conversion.parts import Part, check, register, searched
from conversion.plan.layer import SpikingLayer
from conversion.plan.window import FROM_START, Window


@dataclass(frozen=True)
class ReadoutRule(Part):
    """Base of all rules for read-outs."""

    kind: ClassVar[str] = "readout"

    def window(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> Window:
        """Window for a network, from its fitted layers and its activations on calibration images."""
        return FROM_START


@register
@dataclass(frozen=True)
class Average(ReadoutRule):
    """Average all steps."""

    name: ClassVar[str] = "average"


@register
@dataclass(frozen=True)
class Delayed(ReadoutRule):
    """Leave out the steps before the network's output settles.

    With mean activation E[a] of a neuron, its first spike comes after (θ - v0) / E[a] steps. A layer's
    delay is that of its fastest neuron, and the network's delay is the sum over its layers; where
    layers run side by side, those of the slowest path count. Up to `least` steps after that, the last
    `least` steps are averaged.

    Source: Bu, Li, Yu 2025 (CVPR), arXiv 2409.03368, with 4 for `least`; there one threshold serves a
    whole layer, and all layers are in one path.
    """

    name: ClassVar[str] = "delayed"
    least: int = searched(4, 1, 16)

    def __post_init__(self) -> None:
        check(self.least >= 1, f"least must be at least 1, got {self.least}")

    def window(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> Window:
        """Window (delay, t], or the last steps."""
        plan, reached = calibration.plan, dict[fx.Node, float]()
        for node in plan.captured.graph.nodes:
            reached[node] = max((reached[source] for source in node.all_input_nodes), default=0.0)
            role = plan.roles.get(node)
            if role is not None and role.name in layers:
                fastest = calibration.statistics[role.name].fastest_mean
                reached[node] += first_spike(layers[role.name], fastest)
        return Window(max(reached.values(), default=0.0), self.least)


def first_spike(layer: SpikingLayer, fastest: Tensor) -> float:
    """Steps until the fastest neuron of a layer has received a threshold; 0 for a layer that never fires.

    Args:
        layer: thresholds and initial potentials that differ at most between channels, or per neuron.
        fastest: largest mean activation of one neuron, by channel [C].
    """
    missing = (layer.threshold * (1 - layer.initial)).clamp(min=0).flatten(1)[0].double()
    if len(missing) not in (1, len(fastest)):  # by neuron: [C * ...]
        missing = missing.unflatten(0, (len(fastest), -1)).amin(1)
    steps = missing / fastest.to(missing).clamp(min=1e-12)
    fires = fastest > 0
    return float(steps[fires].min()) if bool(fires.any()) else 0.0
