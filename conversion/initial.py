"""Which membrane potential a neuron starts from, in units of its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from conversion.parts import Part, check, register, searched


@dataclass(frozen=True)
class Initial(Part):
    """Base of all initial membrane potentials."""

    kind: ClassVar[str] = "initial"

    @property
    def value(self) -> float:
        """Initial membrane potential divided by the threshold."""
        raise NotImplementedError


@register
@dataclass(frozen=True)
class Zero(Initial):
    """Start empty: rates are rounded down to multiples of 1/T."""

    name: ClassVar[str] = "zero"

    @property
    def value(self) -> float:
        """0."""
        return 0.0


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
