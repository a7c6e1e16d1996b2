"""Neurons that receive input for some steps before they fire for the first time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State, fire
from conversion.parts import check, register
from conversion.signals.memory import sum_over_time


@register
@dataclass(frozen=True)
class DelaySpike(Neuron):
    """Integrate-and-fire neuron that accumulates `wait` steps before it fires for the first time.

    It then fires for T steps, while what is left of its input arrives. With wait = T all input has
    arrived before the first spike: the output is the closed form clip(floor(sum + v0), 0, T), whatever
    the order of the input, so the unevenness error is gone. Every layer adds `wait` steps of latency.

    Parameters:
        wait: steps before the first spike, at most T; 0: T.

    Source: Zhang C. et al. 2025, arXiv 2508.20392 (delay-spike), with soft reset.
    """

    name: ClassVar[str] = "delay-spike"
    whole_window: ClassVar[bool] = True
    wait: int = 0

    def __post_init__(self) -> None:
        check(self.wait >= 0, f"wait must be positive, or 0 for the whole window, got {self.wait}")

    @property
    def alphabet(self) -> Alphabet:
        """One spike or none."""
        return "binary"

    def delay(self, time_steps: int) -> int:
        """`wait`."""
        return min(self.wait or time_steps, time_steps)

    @property
    def needs_sum_alone(self) -> bool:
        """True where it waits for the whole window."""
        return self.wait == 0

    def window(self, total: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Spikes after a wait of the whole window; see `Neuron.window`."""
        silence = total.new_zeros((steps, *total.shape))
        return self.scan(silence, steps, {"v": state["v"] + total})

    def sent_in_window(self, total: Tensor, steps: int, state: State) -> tuple[Tensor, Tensor]:
        """The closed form above; see `Neuron.sent_in_window`."""
        sent = (state["v"] + total).floor().clamp(0, steps)
        return sent, sent

    def scan(self, current: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Spikes of one whole window; see `Neuron.scan`."""
        wait, constant = self.delay(steps), current.shape[0] == 1
        v = state["v"] + (current[0] * wait if constant else sum_over_time(current[:wait]))
        spikes = torch.empty((steps, *current.shape[1:]), dtype=current.dtype, device=current.device)
        for t in range(steps):
            if t + wait < steps:
                v = v + current[0 if constant else t + wait]
            spikes[t] = fire(v, 1)
            v = v - spikes[t]
        return spikes, {"v": v}
