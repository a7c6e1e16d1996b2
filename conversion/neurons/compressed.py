"""Neurons that pack many steps into one, early steps counting more than late ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State
from conversion.parts import check, register, searched


@register
@dataclass(frozen=True)
class TimestepCompression(Neuron):
    """Spike counts of up to `micro_steps` a step, in units that shrink over time.

    The thresholds w_t of the steps t = 0, ..., T - 1 of a window are a geometric sequence of mean 1: the
    neuron sends w_t clamp(floor(v / w_t), 0, micro_steps), what an integrate-and-fire neuron with that
    threshold sends in `micro_steps` steps, all at once. Early spikes are large, late ones send the
    small rest. With equal thresholds this is a burst neuron; where each is half the one before and there
    is one micro step, it sends the digits of `TemporalWeight`, but while the input still arrives. Input that
    arrives late can only leave if micro_steps w_{T-1} is large enough, which bounds `last` from below; and
    what is sent early cannot be taken back, so an ANN that was not trained for it needs `last` near 1.

    The initial membrane counts in thresholds of the last step, the finest, so that 1/2 rounds to the
    nearest.

    Parameters:
        micro_steps: most spikes in one step (timestep compression).
        last: threshold of the last step over that of the first.

    Source: Qu et al. 2023, arXiv 2306.12010 (timestep compression and spike-time-dependent integrated
    coding). The paper's equations could not be checked: this is a reconstruction from its description,
    and the geometric sequence of thresholds is a choice made here.
    """

    name: ClassVar[str] = "timestep-compression"
    whole_window: ClassVar[bool] = True  # thresholds depend on T
    integral: ClassVar[bool] = False
    micro_steps: int = searched(4, 1, 16)  # most spikes in one step
    last: float = searched(0.5, 0.02, 1.0, log=True)  # threshold, relative to the first

    def __post_init__(self) -> None:
        check(self.micro_steps >= 1, f"micro_steps must be at least 1, got {self.micro_steps}")
        check(0 < self.last <= 1, f"last must be in (0, 1], got {self.last}")

    @property
    def alphabet(self) -> Alphabet:
        """Counts, in a unit that depends on the step."""
        return "graded"

    @property
    def worth(self) -> str:
        """Thresholds."""
        return "shrinks from step to step, not by powers of two"

    @property
    def max_per_step(self) -> int:
        """Micro steps: thresholds are 1 on average."""
        return self.micro_steps

    @property
    def floor(self) -> str:
        """What the last thresholds cannot send."""
        share = self.steady_per_step / self.micro_steps
        return f"clips steady activations above {share:.2f} of the largest value" if share < 1 else ""

    @property
    def steady_per_step(self) -> float:
        """What the last, smallest thresholds still send, in a long window."""
        if self.last == 1:
            return self.micro_steps
        return self.micro_steps * self.last * math.log(1 / self.last) / (1 - self.last)

    def thresholds(self, time_steps: int) -> Tensor:
        """w_t [T], in thresholds of the layer."""
        return torch.tensor(_thresholds(self.last, time_steps), dtype=torch.float64)

    def levels_in(self, time_steps: int) -> int:
        """Thresholds of the last step that all spikes together make."""
        if not time_steps:
            return 0
        return round(self.micro_steps * time_steps / _thresholds(self.last, time_steps)[-1])

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """The closed form in thresholds of the last step; nearly what is sent."""
        finest = _thresholds(self.last, time_steps)[-1]
        levels = self.micro_steps * time_steps / finest
        return (charge / finest + initial).floor().clamp(0, levels) * finest

    def scan(self, current: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Spikes of one whole window; see `Neuron.scan`."""
        thresholds = _thresholds(self.last, steps)
        v = state["v"] * thresholds[-1]
        constant = current.shape[0] == 1
        spikes = torch.empty((steps, *current.shape[1:]), dtype=current.dtype, device=current.device)
        for t, threshold in enumerate(thresholds):
            v = v + current[0 if constant else t]
            spikes[t] = (v / threshold).floor().clamp_(0, self.micro_steps) * threshold
            v = v - spikes[t]
        return spikes, {"v": v}

    def events(self, spikes: Tensor) -> Tensor:
        """Spikes counted one by one, from one whole window [T, B, ...]."""
        thresholds = self.thresholds(len(spikes)).to(spikes)
        return (spikes / thresholds.view(-1, *[1] * (spikes.ndim - 1))).round()


@cache
def _thresholds(last: float, time_steps: int) -> tuple[float, ...]:
    """Numbers of `TimestepCompression.thresholds`, computed once for each T."""
    weights = last ** (torch.arange(time_steps, dtype=torch.float64) / max(time_steps - 1, 1))
    return tuple((weights / weights.mean()).tolist())
