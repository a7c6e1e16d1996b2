"""What every threshold rule is, and the rules that take a quantile of the activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from conversion.fitting.facts import Calibration, LayerFacts
from conversion.parts import Part, check, register, searched


@dataclass(frozen=True)
class Scale(Part):
    """Base of all threshold rules."""

    kind: ClassVar[str] = "scale"
    runs_spikes: ClassVar[bool] = False  # simulates the network to fit it, which takes rate-coded neurons
    needs_training: ClassVar[bool] = False  # needs a network with activations trained for conversion

    @property
    def needs_time_steps(self) -> bool:
        """True where the thresholds depend on T, which must then be known."""
        return False

    @property
    def beyond(self) -> float:
        """How many times the bound of an activation that has one a step may say, see `usable_threshold`."""
        return 1.0

    def clips(self, most: int) -> str:
        """Which activations of calibration images are clipped however many steps are run; "" for none.

        Args:
            most: largest value that the neuron sends in a step, in thresholds.
        """
        return ""

    def fit_forwards(self, images: int) -> int:
        """ANN forwards that a fit costs besides one over all images, a time step counted as one."""
        return 0

    def thresholds(self, layer: LayerFacts) -> Tensor:
        """Thresholds [C] or [1] from a layer's activations; a silent channel may get 0."""
        raise NotImplementedError

    def fit(self, calibration: Calibration) -> dict[str, Tensor]:
        """Thresholds [C] or [1] of all layers; rules that look at one layer at a time need only the above."""
        return {role.name: self.thresholds(calibration.facts(role)) for _, role in calibration.neuron_layers}


@register
@dataclass(frozen=True)
class Maximum(Scale):
    """Largest activation on the calibration images ("data-based" normalisation).

    Source: Diehl et al. 2015 (IJCNN), doi:10.1109/IJCNN.2015.7280696.
    """

    name: ClassVar[str] = "maximum"
    per_channel: bool = False

    def thresholds(self, layer: LayerFacts) -> Tensor:
        """Maximum of the layer or of each channel."""
        return layer.statistics.quantile(1.0, self.per_channel)


@register
@dataclass(frozen=True)
class Percentile(Scale):
    """Quantile `p` of all ReLU outputs, zeros included, so that outliers do not set the threshold.

    Source: Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682. The paper leaves open whether zeros
    count; here they do.
    """

    name: ClassVar[str] = "percentile"
    p: float = searched(0.999, 0.9, 1.0)
    per_channel: bool = False

    def __post_init__(self) -> None:
        check(0 < self.p <= 1, f"p is a share in (0, 1], got {self.p}")

    def clips(self, most: int) -> str:
        """What is above the quantile, or as many times that as a step can send."""
        times = f"{most} times " if most > 1 else ""
        return f"clips activations above {times}their quantile {self.p:g}" if self.p < 1 else ""

    def thresholds(self, layer: LayerFacts) -> Tensor:
        """Quantile of the layer or of each channel."""
        return layer.statistics.quantile(self.p, self.per_channel)


@register
@dataclass(frozen=True)
class FullRange(Scale):
    """Quantile `p` of the magnitudes of activations, divided by the largest value that a step can send.

    One step then says everything up to the quantile, in as many levels as the neuron has.
    """

    name: ClassVar[str] = "full-range"
    p: float = searched(1.0, 0.99, 1.0)
    per_channel: bool = True

    def __post_init__(self) -> None:
        check(0 < self.p <= 1, f"p is a share in (0, 1], got {self.p}")

    def clips(self, most: int) -> str:
        """What is above the quantile."""
        return f"clips activations above their quantile {self.p:g}" if self.p < 1 else ""

    def thresholds(self, layer: LayerFacts) -> Tensor:
        """Quantile over the neuron's largest value in a step, for the layer or for each channel."""
        return layer.statistics.quantile(self.p, self.per_channel) / layer.neuron.max_per_step
