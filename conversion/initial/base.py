"""Which membrane potential a neuron starts from, in units of its threshold.

A rule may run some steps before the read-out and learn from them what each neuron should start
from; those steps count as time steps that the network ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from conversion.neurons.base import Neuron, State
from conversion.parts import Part, check, register, searched


@dataclass(frozen=True)
class Initial(Part):
    """Base of all initial membrane potentials."""

    kind: ClassVar[str] = "initial"

    @property
    def needs_time_steps(self) -> bool:
        """True where it depends on T, which must then be known."""
        return False

    @property
    def value(self) -> float:
        """Initial membrane potential divided by the threshold."""
        return 0.0

    @property
    def steps(self) -> int:
        """Steps that run before the read-out."""
        return 0

    @property
    def steps_counted(self) -> int:
        """Steps before the read-out as latency counts them; more than `steps` where a layer repeats them."""
        return self.steps

    def accepts(self, neuron: Neuron) -> bool:
        """False where the rule makes no sense for these neurons."""
        return True

    def shift(self, time_steps: int) -> float:
        """Constant current of every step, in thresholds, for a window of `time_steps`."""
        return 0.0

    def before(
        self, neuron: Neuron, current: Tensor, steps: int, state: State
    ) -> tuple[Tensor, State, Tensor | None]:
        """Run the steps before the read-out in one layer; asked only if there are any.

        Args:
            neuron: the neurons of the layer.
            current: in thresholds, [T, B, ...] or [1, B, ...] if constant.
            steps: T, all the steps before the read-out at once.
            state: state before them.

        Returns:
            Spikes [T, B, ...] that later layers see in these steps, the state that the read-out
            starts from, and a factor [B, ...], 0 or 1, for all spikes from then on (None: 1).
        """
        raise NotImplementedError


@register
@dataclass(frozen=True)
class Zero(Initial):
    """Start empty: rates are rounded down to multiples of 1/T."""

    name: ClassVar[str] = "zero"


@register
@dataclass(frozen=True)
class Fraction(Initial):
    """Start at a fraction of the threshold; one half rounds rates to the nearest multiple of 1/T.

    Half a threshold minimises the expected squared conversion error for evenly distributed
    remainders. Source: Bu et al. 2022 (AAAI), arXiv 2202.01440.
    """

    name: ClassVar[str] = "fraction"
    fraction: float = searched(0.5, 0.0, 1.0)

    def __post_init__(self) -> None:
        check(0 <= self.fraction <= 1, f"fraction must be in [0, 1], got {self.fraction}")

    @property
    def value(self) -> float:
        """The fraction itself."""
        return self.fraction


@register
@dataclass(frozen=True)
class Shift(Initial):
    """Start empty and add half a threshold, spread evenly over the T steps, as a constant current.

    After T steps this has the effect of starting half full; before, it has less.
    Source: Deng & Gu 2021 (ICLR), arXiv 2103.00476.
    """

    name: ClassVar[str] = "shift"

    @property
    def needs_time_steps(self) -> bool:
        """The current is half a threshold over T."""
        return True

    def shift(self, time_steps: int) -> float:
        """1 / (2 T)."""
        return 0.5 / time_steps
