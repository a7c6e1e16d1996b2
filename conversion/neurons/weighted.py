"""Neurons that send their activation in binary, one digit a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State
from conversion.parts import register


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

    def scan(self, current: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Spikes of one whole window; see `Neuron.scan`."""
        levels = float(self.levels_in(steps))
        v = state["v"] + current.mean(0, dtype=torch.float64) * levels
        spikes = torch.empty((steps, *current.shape[1:]), dtype=current.dtype, device=current.device)
        for t in range(steps):
            weight = 2.0 ** (steps - 1 - t)
            fires = v >= weight
            spikes[t] = fires * (steps * weight / levels)
            v = v - fires * weight
        return spikes, {"v": v.to(current.dtype)}

    def events(self, spikes: Tensor) -> Tensor:
        """One event, whatever its step makes it stand for."""
        return (spikes != 0).to(spikes.dtype)
