"""Ternary neurons that correct what they have sent until it is the quantised value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State
from conversion.parts import check, register, searched
from conversion.signals.coding import ACCUMULATED, Coding


@register
@dataclass(frozen=True)
class BipolarIntegrateAndFire(Neuron):
    """Bipolar integrate-and-fire neuron with a spike tracer (ST-BIF): sends changes of a quantised value.

    Spikes count by their sum, not by their mean: a receiver adds up what arrives, so a neuron that has said
    its value stays silent. With c the input at rest, which the membrane holds from the start, and S the sum
    of spikes sent so far, in each step

        v += x - c
        s = 1 where v >= 1 and S < levels; -1 where v < 0 and S > -below; else 0
        v -= s;  S += s

    With an initial potential of 1/2, a neuron whose input has settled at z ends at S = clip(floor(z + 1/2),
    -below, levels), the value of an ANN with quantised activations, whatever came before. It takes at most
    one step for each level that it is away.

    Parameters:
        levels: steps of the quantised activation above zero.
        below: steps below zero; conversion sets it for layers with negative values.

    Source: You et al. 2024 (ICML), arXiv 2406.03470 (SpikeZIP).
    """

    name: ClassVar[str] = "bipolar-integrate-and-fire"
    levels: int = searched(15, 1, 63)
    below: int = 0

    def __post_init__(self) -> None:
        check(self.levels >= 1, f"levels must be at least 1, got {self.levels}")
        check(self.below >= 0, f"below must not be negative, got {self.below}")

    @property
    def coding(self) -> Coding:
        """The sum of changes."""
        return ACCUMULATED

    @property
    def floor(self) -> str:
        """The rounding."""
        return f"rounds activations to {self.levels} levels"

    @property
    def resolution(self) -> float:
        """Half a level."""
        return 0.5

    @property
    def alphabet(self) -> Alphabet:
        """Spikes with a sign."""
        return "signed"

    @property
    def max_per_step(self) -> int:
        """The largest sum of its spikes."""
        return self.levels

    @property
    def largest_spike(self) -> int:
        """One."""
        return 1

    @property
    def least_per_step(self) -> int:
        """The least one."""
        return -self.below

    def levels_in(self, time_steps: int) -> int:
        """As many, however many steps there are."""
        return self.levels

    @property
    def both_signs(self) -> Neuron:
        """As many levels below zero."""
        return replace(self, below=self.levels)

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """What it has sent after `time_steps` steps, charge being the input that came in the first one."""
        total = (charge + initial).floor().clamp(-self.below, self.levels)
        return total.clamp(-time_steps, time_steps)

    def start(self, membrane: Tensor) -> State:
        """Membrane v, sum of spikes, input at rest."""
        zero = torch.zeros_like(membrane)
        return {"v": membrane, "sent": zero, "rest": zero}

    def at_rest(self, current: Tensor, state: State) -> State:
        """c, which is in the membrane from then on."""
        return state | {"v": state["v"] + current, "rest": current}

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """One step as above."""
        v, sent = state["v"] + current - state["rest"], state["sent"]
        more = (v >= 1) & (sent < self.levels)
        less = (v < 0) & (sent > -self.below)
        spikes = more.to(v.dtype) - less.to(v.dtype)
        return spikes, state | {"v": v - spikes, "sent": sent + spikes}
