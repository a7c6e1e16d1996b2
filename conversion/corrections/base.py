"""What every correction is, and the one that does nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from conversion.fitting.facts import Calibration
from conversion.parts import Part, register
from conversion.plan.layer import SpikingLayer


@dataclass(frozen=True)
class Correction(Part):
    """Base of all corrections."""

    kind: ClassVar[str] = "correction"
    runs_spikes: ClassVar[bool] = False  # simulates the network to fit it, which takes rate-coded neurons
    telescopes: ClassVar[bool] = False  # is right for neurons that receive increments of any function

    @property
    def needs_time_steps(self) -> bool:
        """True where the correction depends on T, which must then be known."""
        return False

    def fit(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """Corrected layers; may also change weights of the captured network."""
        raise NotImplementedError


@register
@dataclass(frozen=True)
class NoCorrection(Correction):
    """Leave everything as it was."""

    name: ClassVar[str] = "none"
    telescopes: ClassVar[bool] = True

    def fit(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """The layers as they were."""
        return dict(layers)
