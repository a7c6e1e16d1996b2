"""Neurons that send in every step whether they are above or below what they should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State
from conversion.parts import check, register, searched
from conversion.signals.coding import LEAST, Coding, Decaying


@register
@dataclass(frozen=True)
class SignDescent(Neuron):
    """Neuron of sign gradient descent: its output steps towards a function of its decoded input.

    A receiver adds w_t s_t to its estimate in step t, with w_t = reach (1 - decay) decay^(t - 1). The neuron
    knows the estimate O of its receivers, and E, what its input is decoded to; where increments that code F
    arrive, E is F of the decoded input, for any F. In each step

        E += w_t (x - c);  s = 1 where O < E, else -1;  O += w_t s

    with c the input at rest, from which E starts; O starts at 0. Once O has met an input that has settled,
    |O - E| is at most w_t after step t: the steps left add up to more than that wherever decay >= 1/2.

    Every neuron sends a spike of either sign in every step. All are counted: a synapse adds or subtracts.

    Parameters:
        decay: size of a step over that of the step before. 0.95 needs 64 to 256 steps; less, fewer steps,
            after which late changes of the input cannot be followed.
        reach: largest output, in thresholds. More than 1 leaves room to correct what was too large.

    Source: Oh and Lee 2024 (ICML), arXiv 2407.01645, steps of 0.15 0.95^t for all neurons, at a reach of 3;
    here they count in thresholds, so that every layer has its own size of steps.
    """

    name: ClassVar[str] = "sign-descent"
    rectifies: ClassVar[bool] = False
    leaky: ClassVar[bool] = True
    decay: float = searched(0.95, 0.8, 0.99)
    reach: int = searched(2, 1, 4)

    def __post_init__(self) -> None:
        check(0.5 <= self.decay < 1, f"decay must be in [0.5, 1), got {self.decay}")
        check(self.reach >= 1, f"reach must be at least 1, got {self.reach}")

    @property
    def coding(self) -> Coding:
        """Changes that shrink geometrically."""
        return Decaying(self.reach, self.decay)

    @property
    def alphabet(self) -> Alphabet:
        """A spike of either sign."""
        return "signed"

    @property
    def max_per_step(self) -> int:
        """What all steps of one sign add up to."""
        return self.reach

    @property
    def largest_spike(self) -> int:
        """One."""
        return 1

    @property
    def least_per_step(self) -> int:
        """As much below zero."""
        return -self.reach

    def start(self, membrane: Tensor) -> State:
        """Decoded input, decoded output, input at rest, weight of the next step."""
        zero = torch.zeros_like(membrane)
        first = membrane.new_full((), self.reach * (1 - self.decay))
        return {"v": membrane, "output": zero, "rest": zero, "weight": first}

    def at_rest(self, current: Tensor, state: State) -> State:
        """c, and E = c."""
        return state | {"v": state["v"] + current, "rest": current}

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """One step as above; `v` is E."""
        weight, sent = state["weight"], state["output"]
        v = state["v"] + weight * (current - state["rest"])
        spikes = 2 * (sent < v).to(v.dtype) - 1
        following = {
            "v": v,
            "output": sent + weight * spikes,
            "weight": (weight * self.decay).clamp(min=LEAST),
        }
        return spikes, state | following
