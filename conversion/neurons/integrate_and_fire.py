"""Integrate-and-fire neurons: one spike a step, or a burst of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State, burst_into, fire
from conversion.parts import check, register, searched


@register
@dataclass(frozen=True)
class IntegrateAndFire(Neuron):
    """Integrate-and-fire neuron with soft reset; at most one spike a step.

    Source: Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682 (reset by subtraction).
    """

    name: ClassVar[str] = "integrate-and-fire"
    written_over: ClassVar[tuple[str, ...]] = ("v",)

    @property
    def alphabet(self) -> Alphabet:
        """One spike or none."""
        return "binary"

    @property
    def is_integrate_and_fire(self) -> bool:
        """It is; what is derived from it need not be."""
        return type(self) is IntegrateAndFire

    @property
    def judged_by_membrane(self) -> bool:
        """What is left is charge that has not been sent."""
        return True

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """v += x; s = [v >= 1]; v -= s."""
        v = state["v"] + current
        spikes = fire(v, 1)
        return spikes, {"v": v - spikes}

    def step_into(self, current: Tensor, state: State, spikes: Tensor) -> None:
        """The step, in place."""
        burst_into(current, state, spikes, 1)

    def events(self, spikes: Tensor) -> Tensor:
        """Spikes; none is negative."""
        return spikes if type(self) is IntegrateAndFire else super().events(spikes)


@register
@dataclass(frozen=True)
class Burst(Neuron):
    """Burst neuron: up to `gamma` spikes a step, so charge left over is sent soon.

    Source: Li & Zeng 2022 (IJCAI), arXiv 2204.13271.
    """

    name: ClassVar[str] = "burst"
    written_over: ClassVar[tuple[str, ...]] = ("v",)
    gamma: int = searched(5, 2, 20)  # most spikes in one step

    def __post_init__(self) -> None:
        check(self.gamma >= 1, f"gamma must be at least 1, got {self.gamma}")

    @property
    def alphabet(self) -> Alphabet:
        """A burst of 0 to gamma spikes."""
        return "burst" if self.gamma > 1 else "binary"

    @property
    def max_per_step(self) -> int:
        """Gamma."""
        return self.gamma

    @property
    def is_integrate_and_fire(self) -> bool:
        """With bursts of one spike; what is derived from it need not be."""
        return self.gamma == 1 and type(self) is Burst

    @property
    def judged_by_membrane(self) -> bool:
        """What is left is charge that has not been sent."""
        return True

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """v += x; s = clamp(floor(v), 0, gamma); v -= s."""
        v = state["v"] + current
        spikes = fire(v, self.gamma)
        return spikes, {"v": v - spikes}

    def step_into(self, current: Tensor, state: State, spikes: Tensor) -> None:
        """The step, in place."""
        burst_into(current, state, spikes, self.gamma)

    def events(self, spikes: Tensor) -> Tensor:
        """Spikes, one by one; none is negative."""
        return spikes if type(self) is Burst else super().events(spikes)
