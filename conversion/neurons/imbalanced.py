"""Neurons that send the negative values of a leaky ReLU."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State, by_channel, fire
from conversion.parts import check, register


@register
@dataclass(frozen=True)
class ImbalancedThreshold(Neuron):
    """Signed neuron with imbalanced thresholds: 1 for a spike, -1 / slope for a negative one.

    A spike takes 1 off the membrane and a negative spike puts 1 / slope back, while both transmit one
    threshold; so negative input comes out `slope` times smaller, as from a leaky ReLU, and at rates
    up to one negative threshold a step. With slope 0 it is an integrate-and-fire neuron.

        sum of currents = n+ - n- / slope + change of the membrane potential      (conservation)

    with n+ spikes and n- negative spikes. Where a slope is itself negative, as PReLU may learn it,
    negative input causes positive spikes.

    Parameters:
        slope: negative slope of the activation, or one for each channel; conversion sets it for each
            layer, so that ReLU, leaky ReLU and PReLU may stand in one network.

    Source: Kim et al. 2020 (AAAI), arXiv 1903.06530 (Spiking-YOLO).
    """

    name: ClassVar[str] = "imbalanced-threshold"
    leaky: ClassVar[bool] = True
    slope: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.slope, list):  # as YAML and JSON have it
            object.__setattr__(self, "slope", tuple(self.slope))
        if isinstance(self.slope, tuple):
            numbers = all(isinstance(one, int | float) and math.isfinite(one) for one in self.slope)
            check(bool(self.slope) and numbers, f"slopes must be finite numbers, got {self.slope}")
        else:
            check(0 <= self.slope < 1, f"slope must be in [0, 1), got {self.slope}")

    @property
    def alphabet(self) -> Alphabet:
        """Spikes with a sign."""
        return "signed"

    @property
    def least_per_step(self) -> int:
        """A negative spike every step, of a leaky ReLU."""
        slopes = self.slope if isinstance(self.slope, tuple) else (self.slope,)
        return -1 if any(slope > 0 for slope in slopes) else 0

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """clip(floor(charge + initial), 0, T), or minus as much of slope times what is negative."""
        total = charge + initial
        if not isinstance(self.slope, tuple):
            below = (-self.slope * total).floor().clamp(0, time_steps)
            return total.floor().clamp(0, time_steps) - below
        slopes = by_channel(self.slope, total.ndim, total.dtype, total.device)
        below = (-slopes.abs() * total).floor().clamp(0, time_steps)
        return total.floor().clamp(0, time_steps) - slopes.sign() * below

    def with_slope(self, slope: float | tuple[float, ...]) -> Neuron:
        """The same neuron with another slope, or one for each channel."""
        return replace(self, slope=slope)

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """v += x; s = 1 where v >= 1, -1 where v <= -1 / slope; v -= 1, v += 1 / slope."""
        v = state["v"] + current
        spikes = fire(v, 1)
        if isinstance(self.slope, tuple):
            slopes = by_channel(self.slope, v.ndim, v.dtype, v.device)
            below = (v * slopes.abs() <= -1).to(v.dtype)
            back = torch.where(slopes == 0, 0.0, 1 / slopes.abs())
            return spikes - below * slopes.sign(), {"v": v - spikes + below * back}
        if not self.slope:
            return spikes, {"v": v - spikes}
        below = (v * self.slope <= -1).to(v.dtype)
        return spikes - below, {"v": v - spikes + below / self.slope}
