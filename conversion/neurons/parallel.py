"""Neurons that know the sum of their whole input before they fire: no error of timing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State, by_channel
from conversion.parts import check, register
from conversion.signals.memory import sum_of_steps


@register
@dataclass(frozen=True)
class Parallel(Neuron):
    """Parallel neuron: all spikes of a window from one sum, the first steps first.

    With S the sum of the currents of T steps and v0 the initial membrane, in step t = 1, ..., T

        s_t = 1 where S + v0 >= t level, else 0

    so exactly clip(floor((S + v0) / level), 0, T) spikes are sent, whatever the order of the input, and
    no step depends on the one before: hardware computes all of them at once. Where many such neurons
    are pooled, the largest of their spikes is that of the neuron that sends most.

    A layer needs all the input first, so layers work one after the other: see `latency`. The first one
    needs no waiting, because an image that does not change is known at once.

    Parameters:
        level: membrane that one spike takes, over what it transmits: one for all channels, or one for
            each. 1 in a plain network; correction "channel-calibration" sets it.

    Source: Hao et al. 2025 (ICML), arXiv 2412.13610, and the authors' code.
    """

    name: ClassVar[str] = "parallel"
    whole_window: ClassVar[bool] = True
    level: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.level, list):  # as YAML and JSON have it
            object.__setattr__(self, "level", tuple(self.level))
        levels = self.level if isinstance(self.level, tuple) else (self.level,)
        valid = bool(levels) and all(isinstance(one, int | float) and one > 0 for one in levels)
        check(valid, f"level must be positive, got {self.level}")

    @property
    def alphabet(self) -> Alphabet:
        """One spike or none."""
        return "binary"

    def latency(self, time_steps: int, depth: int) -> int:
        """A window for each layer on the longest path."""
        return time_steps * max(depth, 1)

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """clip(floor((charge + initial) / level), 0, T)."""
        return ((charge + initial) / self._levels(charge)).floor().clamp(0, time_steps)

    @property
    def needs_sum_alone(self) -> bool:
        """It is all that it knows."""
        return True

    def scan(self, current: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Spikes of one whole window; see `Neuron.scan`."""
        return self.window(sum_of_steps(current, steps), steps, state)

    def window(self, total: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """The equation above; see `Neuron.window`."""
        total = state["v"] + total
        levels = self._levels(total)
        count = torch.arange(1, steps + 1, dtype=total.dtype, device=total.device)
        count = count.view(-1, *[1] * total.ndim)
        spikes = (total >= count * levels).to(total.dtype)
        return spikes, {"v": total - spikes.sum(0) * levels}

    def sent_in_window(self, total: Tensor, steps: int, state: State) -> tuple[Tensor, Tensor]:
        """How many multiples of the level the sum has reached; see `Neuron.sent_in_window`."""
        total = state["v"] + total
        levels = self._levels(total)
        sent = (total / levels).floor().clamp(0, steps)  # a quotient may round to the next whole number
        more, less = total >= (sent + 1) * levels, total < sent * levels
        sent = (sent + more.to(sent.dtype) - less.to(sent.dtype)).clamp(0, steps)
        return sent, sent

    def _levels(self, like: Tensor) -> Tensor | float:
        """One number, or [1, C, 1, ...]."""
        if not isinstance(self.level, tuple):
            return self.level
        return by_channel(self.level, like.ndim, like.dtype, like.device)
