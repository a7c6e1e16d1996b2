"""Neurons that send their activation in binary, one digit a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State
from conversion.parts import register

MOST_COUNTED = 48  # digits of a number whose ones are counted without looking at each


@register
@dataclass(frozen=True)
class TemporalWeight(Neuron):
    """Spikes weighted by the step they come in: R_t = 2^(T - 1 - t) for t = 0, ..., T - 1.

    The neuron waits until a whole window of T steps has arrived, then sends T binary digits, the
    highest first: with z the mean input in thresholds and v0 its initial membrane, those of

        clip(floor(z (2^T - 1) + v0), 0, 2^T - 1),

    where v0 counts in lowest digits, so that 1/2 rounds to the nearest. A spike in step t transmits
    T R_t / (2^T - 1) thresholds, so that the mean over the window is the number that the digits mean, and
    layers in between need not know the code; hardware shifts, and scales once.

    Every layer adds a window of latency. Source: Zhang C. et al. 2025, arXiv 2508.20392 (tdIF), with
    a delay of T; the paper trains with as many levels, here any network is converted.
    """

    name: ClassVar[str] = "temporal-weight"
    whole_window: ClassVar[bool] = True
    integral: ClassVar[bool] = False
    most_time_steps: ClassVar[int | None] = 127  # 2^T is a float32; a current has 24 digits of it at most

    @property
    def alphabet(self) -> Alphabet:
        """Powers of two that depend on the step."""
        return "weighted"

    @property
    def worth(self) -> str:
        """A digit."""
        return "halves from step to step (a synapse shifts, then adds)"

    def levels_in(self, time_steps: int) -> int:
        """2^T - 1."""
        return int(2**time_steps - 1)

    def delay(self, time_steps: int) -> int:
        """The window itself."""
        return time_steps

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """T / (2^T - 1) clip(floor(z (2^T - 1) + v0), 0, 2^T - 1) for z = charge / T."""
        levels = float(self.levels_in(time_steps))
        digits = (charge * (levels / time_steps) + initial).floor().clamp(0, levels)
        return digits * (time_steps / levels)

    @property
    def needs_sum_alone(self) -> bool:
        """It waits for the whole window."""
        return True

    def scan(self, current: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Spikes of one whole window; see `Neuron.scan`."""
        constant = current.shape[0] == 1
        total = current[0].double() * steps if constant else current.sum(0, dtype=torch.float64)
        return self.window(total, steps, state)

    def window(self, total: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Digits of the mean, as above; see `Neuron.window`."""
        levels = float(self.levels_in(steps))
        v = state["v"] + total.double() / steps * levels
        spikes = torch.empty((steps, *total.shape), dtype=state["v"].dtype, device=total.device)
        for t in range(steps):
            weight = 2.0 ** (steps - 1 - t)
            fires = v >= weight
            spikes[t] = fires * (steps * weight / levels)
            v = v - fires * weight
        return spikes, {"v": v.to(spikes.dtype)}

    def sent_in_window(self, total: Tensor, steps: int, state: State) -> tuple[Tensor, Tensor]:
        """The number that the digits mean, and how many of them are one; see `Neuron.sent_in_window`."""
        if steps > MOST_COUNTED:
            return super().sent_in_window(total, steps, state)
        levels = self.levels_in(steps)
        number = (state["v"] + total.double() / steps * float(levels)).floor().clamp(0, levels).long()
        return (number * (steps / levels)).to(state["v"].dtype), _ones_of(number).to(state["v"].dtype)

    def events(self, spikes: Tensor) -> Tensor:
        """One event, whatever its step makes it stand for."""
        return (spikes != 0).to(spikes.dtype)


def _ones_of(numbers: Tensor) -> Tensor:
    """Ones of the binary digits of int64 numbers: those of pairs, of fours, of bytes, then of all of them."""
    for width, mask in ((1, 0x555555555555), (2, 0x333333333333), (4, 0x0F0F0F0F0F0F)):
        numbers = (numbers & mask) + ((numbers >> width) & mask)
    for width in (8, 16, 32):
        numbers = numbers + (numbers >> width)
    return numbers & 0x3F
