"""The threshold of each layer or channel: which activation one spike per step stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.parts import Part, check, register, searched
from conversion.statistics import ActivationStatistics


@dataclass(frozen=True)
class Scale(Part):
    """Base of all threshold rules."""

    kind: ClassVar[str] = "scale"

    def thresholds(self, statistics: ActivationStatistics) -> Tensor:
        """Thresholds [C] or [1] from a layer's activations; a silent channel may get 0."""
        raise NotImplementedError


@register
@dataclass(frozen=True)
class Maximum(Scale):
    """Largest activation on the calibration images ("data-based" normalisation).

    Source: Diehl et al. 2015 (IJCNN), doi:10.1109/IJCNN.2015.7280696.
    """

    name: ClassVar[str] = "maximum"
    per_channel: bool = False

    def thresholds(self, statistics: ActivationStatistics) -> Tensor:
        """Maximum of the layer or of each channel."""
        return statistics.quantile(1.0, self.per_channel)


@register
@dataclass(frozen=True)
class Percentile(Scale):
    """Quantile `p` of all ReLU outputs, zeros included, so that outliers do not set the threshold.

    Source: Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682. The paper leaves open whether zeros
    count; here they do.
    """

    name: ClassVar[str] = "percentile"
    p: float = searched(0.999, 0.95, 1.0)
    per_channel: bool = False

    def __post_init__(self) -> None:
        check(0 < self.p <= 1, f"p is a share in (0, 1], got {self.p}")

    def thresholds(self, statistics: ActivationStatistics) -> Tensor:
        """Quantile of the layer or of each channel."""
        return statistics.quantile(self.p, self.per_channel)


def least_squares_thresholds(statistics: ActivationStatistics, levels: int, candidates: int = 40) -> Tensor:
    """Thresholds [C] whose `levels`-level rounding of the activations has least squared error.

    Minimises the mean of (a - q(a))^2 with q(a) = (range / levels) clip(round(levels a / range), 0,
    levels) over `candidates` ranges, evenly spaced up to the channel's maximum; the threshold is the
    largest value q can take. Used by the quantised ANN; see Li et al. 2021, arXiv 2106.06984, for
    the same search with floor in place of round.
    """
    centres, counts = statistics.histogram
    best_error = torch.full_like(statistics.maximum, torch.inf, dtype=torch.float64)
    best = statistics.maximum.clone()
    for share in torch.linspace(1 / candidates, 1.0, candidates).tolist():
        top = (statistics.maximum * share).clamp(min=1e-30)[:, None]
        quantised = (centres * levels / top).round_().clamp_(0, levels) * (top / levels)
        error = ((centres - quantised).double().square_() * counts).sum(1)
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best = torch.where(better, top[:, 0], best)
    return best
