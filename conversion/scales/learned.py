"""Thresholds that the network itself has learned in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from conversion.fitting.facts import LayerFacts
from conversion.parts import register
from conversion.scales.base import Scale


@register
@dataclass(frozen=True)
class Learned(Scale):
    """The largest value of each layer's trained activation, over the most spikes of one step.

    That is λ of a QCFS activation for a neuron that sends at most one spike a step, and λ / γ for
    one that sends up to γ; an integer activation up to D gets 1 for a neuron that sends up to D.
    Needs a network whose neuron layers all are of `conversion.graph.activations`; calibration images
    decide nothing.

    Source: Bu et al. 2022 (ICLR), arXiv 2303.04347, section 4.2 (θ = λ).
    """

    name: ClassVar[str] = "learned"
    needs_training: ClassVar[bool] = True

    def thresholds(self, layer: LayerFacts) -> Tensor:
        """Ceiling / most spikes, [1]."""
        assert layer.ceiling is not None  # check_combination refuses layers without one
        return layer.statistics.maximum.new_full((1,), layer.ceiling / layer.neuron.max_per_step)
