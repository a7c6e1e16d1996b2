"""Neurons that send the negative values of a leaky ReLU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State, fire
from conversion.parts import check, register


@register
@dataclass(frozen=True)
class ImbalancedThreshold(Neuron):
    """Signed neuron with imbalanced thresholds: 1 for a spike, -1 / slope for a negative one.

    A spike takes 1 off the membrane and a negative spike puts 1 / slope back, while both transmit one
    threshold; so negative input comes out `slope` times smaller, as from a leaky ReLU, and at rates
    up to one negative threshold a step. With slope 0 it is an integrate-and-fire neuron.

        sum of currents = n+ - n- / slope + change of the membrane potential      (conservation)

    with n+ spikes and n- negative spikes.

    Parameters:
        slope: negative slope of the activation; conversion sets it for each layer, so that ReLU and
            leaky ReLU may stand in one network.

    Source: Kim et al. 2020 (AAAI), arXiv 1903.06530 (Spiking-YOLO).
    """

    name: ClassVar[str] = "imbalanced-threshold"
    leaky: ClassVar[bool] = True
    slope: float = 0.0

    def __post_init__(self) -> None:
        check(0 <= self.slope < 1, f"slope must be in [0, 1), got {self.slope}")

    @property
    def alphabet(self) -> Alphabet:
        """Spikes with a sign."""
        return "signed"

    @property
    def least_per_step(self) -> int:
        """A negative spike every step, of a leaky ReLU."""
        return -1 if self.slope else 0

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """clip(floor(charge + initial), 0, T), or minus as much of slope times what is negative."""
        total = charge + initial
        below = (-self.slope * total).floor().clamp(0, time_steps)
        return total.floor().clamp(0, time_steps) - below

    def with_slope(self, slope: float) -> Neuron:
        """The same neuron with another slope."""
        return replace(self, slope=slope)

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """v += x; s = 1 where v >= 1, -1 where v <= -1 / slope; v -= 1, v += 1 / slope."""
        v = state["v"] + current
        spikes = fire(v, 1)
        if not self.slope:
            return spikes, {"v": v - spikes}
        below = (v * self.slope <= -1).to(v.dtype)
        return spikes - below, {"v": v - spikes + below / self.slope}
