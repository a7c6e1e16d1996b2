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

    @property
    def changes_weights(self) -> bool:
        """True where `fit` may change weights of the captured network, which is copied before."""
        return True

    def fit_forwards(self, images: int, time_steps: int) -> int:
        """ANN forwards that a fit for T costs, a time step counted as one; of so many calibration images."""
        return images * time_steps

    def fit(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """Corrected layers; may also change weights of the captured network."""
        raise NotImplementedError


@register
@dataclass(frozen=True)
class NoCorrection(Correction):
    """Leave everything as it was."""

    name: ClassVar[str] = "none"
    telescopes: ClassVar[bool] = True

    @property
    def changes_weights(self) -> bool:
        """No."""
        return False

    def fit_forwards(self, images: int, time_steps: int) -> int:
        """None."""
        return 0

    def fit(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """The layers as they were."""
        return dict(layers)
