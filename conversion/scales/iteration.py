"""Thresholds in closed form for inputs that are normally distributed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.fitting.facts import LayerFacts
from conversion.parts import check, register
from conversion.scales.base import Scale
from conversion.scales.least_squares import best_range


@register
@dataclass(frozen=True)
class ThresholdIteration(Scale):
    """Threshold with the least squared error for normally distributed inputs, from two moments alone.

    With input x ~ N(μ, σ²) and n levels, q(x) = (θ / n) clip(floor(n x / θ + 1/2), 0, n) has the least
    mean of (q(x) - max(x, 0))² at a fixed point of

        θ <- n Σ_i E[x; x > c_i] / Σ_i (2 i - 1) P(x > c_i),   c_i = (2 i - 1) θ / (2 n),  i = 1..n,

    which is the published update θ <- k θ written with tail probabilities (they keep their digits
    where most inputs are negative). Channels that share a threshold share the two sums. The error has
    several local minima where σ is small beside μ, and the updates find the one next to where they
    start; the paper leaves that open. Here they start from the best of `starts` thresholds, evenly
    spaced up to four deviations above the mean, compared by the error itself (which is, up to a
    constant, (θ / n)² times the lower sum less 2 (θ / n) times the upper one).

    Activations beyond the ReLU family, and those of PReLU with a slope for each channel, are not a clipped
    normal distribution: their thresholds have the least squared error on the calibration images, for as
    many levels on either side.

    Parameters:
        levels: n, reached at γθ with γ the most spikes in one step; 0: γ, what one step can say.
        per_channel: one threshold for each channel, or one for the layer.
        iterations: most updates; they end earlier where nothing changes any more.
        starts: thresholds compared before the first update.

    Source: Huang et al. 2025 (ICML), arXiv 2503.00301, "threshold iteration", 100 iterations.
    """

    name: ClassVar[str] = "threshold-iteration"
    levels: int = 0
    per_channel: bool = True
    iterations: int = 100
    starts: int = 50

    def __post_init__(self) -> None:
        check(self.levels >= 0, f"levels must be positive, or 0 for those of one step, got {self.levels}")
        check(self.iterations >= 0, f"iterations must not be negative, got {self.iterations}")
        check(self.starts >= 1, f"starts must be at least 1, got {self.starts}")

    def clips(self, most: int) -> str:
        """The range is best for a number of levels, whatever T."""
        levels = f"{self.levels} levels" if self.levels else "the levels of one step"
        return f"clips activations above the range that is best for {levels}"

    def thresholds(self, layer: LayerFacts) -> Tensor:
        """Thresholds [C], or [1] for the layer; 0 for a channel whose inputs are always far below 0."""
        most = layer.neuron.max_per_step
        levels = self.levels or most
        if not layer.rectified:
            return best_range(layer.statistics, levels, per_channel=self.per_channel, refine=True) / most
        mean, deviation = layer.statistics.drive_moments
        deviation = torch.maximum(deviation, mean.abs() * 1e-6).clamp(min=1e-30)  # of a constant input

        def sums(top: Tensor) -> tuple[Tensor, Tensor]:
            sent, squares = _tails(mean, deviation, top, levels)
            return (sent, squares) if self.per_channel else (sent.sum()[None], squares.sum()[None])

        top = self._start(mean.clamp(min=0) + 4 * deviation, levels, sums)
        for _ in range(self.iterations):
            sent, squares = sums(top)
            following = torch.where((squares > 0) & (sent > 0), levels * sent / squares, 0.0)
            settled = torch.allclose(following, top, rtol=1e-6, atol=0.0)
            top = following
            if settled:
                break
        return (top / most).float()

    def _start(self, highest: Tensor, levels: int, sums: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        """Best of `starts` tops, [C] or [1]."""
        highest = highest if self.per_channel else highest.max()[None]
        tops = [highest * i / self.starts for i in range(1, self.starts + 1)]
        errors = []
        for top in tops:
            sent, squares = sums(top)
            errors.append((top / levels).square() * squares - 2 * top / levels * sent)
        best = torch.stack(errors).argmin(0)
        return torch.stack(tops).gather(0, best[None])[0]


def _tails(mean: Tensor, deviation: Tensor, top: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """The sums over levels, Σ E[x; x > c_i] and Σ (2 i - 1) P(x > c_i), both [C]."""
    odd = 2 * torch.arange(1, levels + 1, dtype=mean.dtype, device=mean.device) - 1
    u = (odd * top[:, None] / (2 * levels) - mean[:, None]) / (math.sqrt(2) * deviation[:, None])
    above = torch.special.erfc(u) / 2
    density = deviation[:, None] / math.sqrt(2 * math.pi) * (-u.square()).exp()
    return (mean[:, None] * above + density).sum(1), (odd * above).sum(1)
