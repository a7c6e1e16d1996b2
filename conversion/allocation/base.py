"""What every allocation is, and the one that treats all layers alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from conversion.fitting.facts import Calibration
from conversion.parts import Part, register
from conversion.plan.layer import SpikingLayer


@dataclass(frozen=True)
class Allocation(Part):
    """Base of all allocations."""

    kind: ClassVar[str] = "allocation"
    fits_functions: ClassVar[bool] = False  # fits neurons that approximate functions by themselves

    @property
    def needs_time_steps(self) -> bool:
        """True where the allocation depends on T, which must then be known."""
        return False

    def assign(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """Layers with their neurons and thresholds chosen one by one."""
        raise NotImplementedError


@register
@dataclass(frozen=True)
class Uniform(Allocation):
    """The same neuron everywhere."""

    name: ClassVar[str] = "uniform"

    def assign(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """The layers as they were."""
        return dict(layers)
