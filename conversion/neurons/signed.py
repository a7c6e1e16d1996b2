"""Neurons that take a spike back when their membrane shows that it was one too many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State, fire, fire_into
from conversion.neurons.two_sided import TwoSided, owed, owed_into
from conversion.parts import check, register, searched


@register
@dataclass(frozen=True)
class Signed(Neuron):
    """Signed neuron with memory: negative spikes take back spikes that were sent too early.

    The state is the membrane potential `v` and the memory `sent`, the spikes sent so far less those
    taken back. In each step v gains the current and loses what is sent, a positive or a negative
    number of spikes, so conservation holds; and no more is taken back than was sent, so `sent`, like
    the ReLU that the neuron stands for, is never negative.

    Parameters:
        gamma: most spikes sent in one step.
        lower: membrane potential, in thresholds, at or below which spikes are taken back. At 0 it
            means strictly below: a neuron whose membrane is exactly 0 takes nothing back. Wang et
            al. use -1: the neuron has sent a whole spike too much before it takes one back. Hu et al.
            use a value just below 0 (-0.001 in their code): it takes the spike back at once.
        back: most spikes taken back in one step; each only while the membrane, raised by those
            before it, is still at or below `lower`.

    Source: Wang Y. et al. 2022 (IJCAI, 2501-2508), gamma = back = 1 and lower = -1; Hu et al. 2023
    (TPAMI), arXiv 2305.19868, with lower just below 0. Bursts both ways are an extension.
    """

    name: ClassVar[str] = "signed"
    written_over: ClassVar[tuple[str, ...]] = ("v", "sent")
    gamma: int = searched(1, 1, 8)  # most spikes sent in one step
    lower: float = searched(-1.0, -1.0, 0.0)  # membrane at which spikes are taken back
    back: int = 1  # most spikes taken back in one step

    def __post_init__(self) -> None:
        check(self.gamma >= 1, f"gamma must be at least 1, got {self.gamma}")
        check(self.lower <= 0, f"lower must not be positive, got {self.lower}")
        check(self.back >= 1, f"back must be at least 1, got {self.back}")

    @property
    def alphabet(self) -> Alphabet:
        """Spikes with a sign."""
        return "signed"

    @property
    def max_per_step(self) -> int:
        """Gamma."""
        return self.gamma

    @property
    def judged_by_membrane(self) -> bool:
        """What is left is charge that has not been sent."""
        return True

    @property
    def both_signs(self) -> Neuron:
        """The same without a memory: it may send more negative spikes than positive ones."""
        return TwoSided(self.gamma, self.lower)

    def start(self, membrane: Tensor) -> State:
        """Membrane v, and sent: spikes sent so far, less those taken back."""
        return {"v": membrane, "sent": torch.zeros_like(membrane)}

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """v += x; s = fire(v), or minus what is owed and was sent; v -= s; sent += s."""
        v = state["v"] + current
        spikes = fire(v, self.gamma) - torch.minimum(owed(v, self.lower, self.back), state["sent"])
        return spikes, {"v": v - spikes, "sent": state["sent"] + spikes}

    def step_into(self, current: Tensor, state: State, spikes: Tensor) -> None:
        """The step, in place."""
        v, sent = state["v"], state["sent"]
        v += current
        back = owed_into(v, self.lower, self.back, torch.empty_like(v))
        torch.minimum(back, sent, out=back)
        fire_into(v, self.gamma, spikes)
        spikes -= back
        v -= spikes
        sent += spikes
