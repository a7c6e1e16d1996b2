"""Initial membrane potentials that are found by running some steps before the read-out.

Both rules run their steps on the very images that are read out afterwards, so what they find holds
for one image and one neuron. These steps count: `t_total` of a read-out at t is theirs plus t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.initial.base import Initial
from conversion.neurons import Neuron, State
from conversion.parts import check, register, searched


@dataclass(frozen=True)
class Presimulation(Initial):
    """Base: judges a neuron by the charge that its membrane is left with after some steps."""

    def accepts(self, neuron: Neuron) -> bool:
        """True for neurons whose membranes can be judged."""
        return neuron.judged_by_membrane


@register
@dataclass(frozen=True)
class Residual(Presimulation):
    """Run tau steps, silence the neurons whose membrane ends at or below zero, start again without them.

    A membrane that is not above zero after tau steps says that the ANN's activation is zero: all
    that the neuron has sent, and would send, is an error of timing. Neurons start at `fraction`
    before the tau steps and again after them; in the tau steps nobody is silenced yet.

    Parameters:
        tau: steps before the read-out.
        fraction: initial membrane potential, in thresholds.
        margin: membrane potential, in thresholds, up to which a neuron is silenced: 0 in the paper,
            0.001 in the authors' code.

    Source: SRP, Hao et al. 2023 (AAAI), arXiv 2302.02091, algorithm 1.
    """

    name: ClassVar[str] = "residual"
    tau: int = searched(4, 1, 16)
    fraction: float = searched(0.5, 0.0, 1.0)
    margin: float = 1e-3

    def __post_init__(self) -> None:
        check(self.tau >= 1, f"tau must be at least 1, got {self.tau}")
        check(0 <= self.fraction <= 1, f"fraction must be in [0, 1], got {self.fraction}")
        check(0 <= self.margin < 1, f"margin must be in [0, 1), got {self.margin}")

    @property
    def floor(self) -> str:
        """A neuron that is silenced by mistake stays silent."""
        return f"silences neurons by their membranes after {self.tau} steps, some by mistake"

    @property
    def value(self) -> float:
        """The fraction."""
        return self.fraction

    @property
    def steps(self) -> int:
        """Tau."""
        return self.tau

    def before(
        self, neuron: Neuron, current: Tensor, steps: int, state: State
    ) -> tuple[Tensor, State, Tensor]:
        """Spikes of the tau steps, the state before them, and 0 for neurons to silence."""
        spikes, after = neuron.scan(current, steps, state)
        return spikes, state, (after["v"] > self.margin).to(current.dtype)


@register
@dataclass(frozen=True)
class Offset(Presimulation):
    """Run rho steps, and move the initial membrane until a neuron sends one spike more or less.

    With v the membrane before rho steps of recorded input, and v' after them:

    - v' < 0 and the neuron has sent a spike: one too many. Of all membranes just before a spike, the
      lowest is m; v becomes v - max(1, m - 1 + margin), so that this spike fails to come.
    - v' >= 1 and the neuron has missed a step: one too few. Of all membranes after a step without a
      spike, the highest is m; v becomes v + max(1, 1 + margin - m), so that it spikes there.

    Each round brings the number of spikes in the rho steps one nearer to that of evenly spread input.
    After a round, v' counts from the membrane before the first one: what a correction has added is no
    charge that was received. (With one round, as published, there is no difference.)

    Layers are corrected in the order of computation: each sees what the corrected layers before it
    send in the rho steps, so the input of a layer has to be kept for them. All layers then start the
    read-out from their new membranes.

    Parameters:
        rho: steps before the read-out.
        rounds: how often a layer is corrected, each time by one spike at most. Every round runs the
            rho recorded steps once more, and they count: rho rounds + t steps in total.
        fraction: initial membrane potential before any correction, in thresholds.
        margin: how far beyond the threshold a membrane is moved, in thresholds; 0.001 in the authors'
            code.

    Source: COS, Hao et al. 2023 (ICLR), arXiv 2302.10685, section 4.
    """

    name: ClassVar[str] = "offset"
    rho: int = searched(4, 1, 16)
    rounds: int = searched(1, 1, 4)
    fraction: float = searched(0.5, 0.0, 1.0)
    margin: float = 1e-3

    def __post_init__(self) -> None:
        check(self.rho >= 1, f"rho must be at least 1, got {self.rho}")
        check(self.rounds >= 1, f"rounds must be at least 1, got {self.rounds}")
        check(0 <= self.fraction <= 1, f"fraction must be in [0, 1], got {self.fraction}")
        check(0 < self.margin < 1, f"margin must be in (0, 1), got {self.margin}")

    @property
    def value(self) -> float:
        """The fraction."""
        return self.fraction

    @property
    def steps(self) -> int:
        """Rho."""
        return self.rho

    @property
    def steps_counted(self) -> int:
        """Rho in every round."""
        return self.rho * self.rounds

    def before(self, neuron: Neuron, current: Tensor, steps: int, state: State) -> tuple[Tensor, State, None]:
        """Spikes that the corrected neurons send in the rho steps, and the state that they start from."""
        start = state["v"]
        for _ in range(self.rounds):
            state = {**state, "v": self._corrected(neuron, current, steps, state, start)}
        spikes, _ = neuron.scan(current, steps, state)
        return spikes, state, None

    def _corrected(self, neuron: Neuron, current: Tensor, steps: int, state: State, start: Tensor) -> Tensor:
        """Initial membranes after one more round, from those of `state`; `start` are the first ones."""
        v = state["v"]
        firing = torch.full_like(v, torch.inf)  # lowest membrane just before a spike
        silent = torch.full_like(v, -torch.inf)  # highest membrane after a step without one
        running = state
        for t in range(steps):
            now = current[t if len(current) > 1 else 0]
            charged = running["v"] + now
            spikes, running = neuron.step(now, running)
            firing = torch.where(spikes > 0, torch.minimum(firing, charged), firing)
            silent = torch.where(spikes == 0, torch.maximum(silent, running["v"]), silent)
        left = running["v"] - v + start  # charge received and not sent
        too_many = (left < 0) & firing.isfinite()
        too_few = (left >= 1) & silent.isfinite()
        less = (firing - 1 + self.margin).clamp(min=1)
        more = (1 + self.margin - silent).clamp(min=1)
        return torch.where(too_many, v - less, torch.where(too_few, v + more, v))
