"""Thresholds whose grid of representable values is nearest to the activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.fitting.facts import LayerFacts
from conversion.fitting.statistics import ActivationStatistics
from conversion.parts import check, register
from conversion.scales.base import Scale

FINEST = 2**24  # levels that a float32 tells apart
FEW = 512  # levels: of more, it is faster to look at every bin of the histogram
AT_ONCE = 2**20  # edges of levels that are looked up together


@register
@dataclass(frozen=True)
class LeastSquares(Scale):
    """Threshold with the least squared error of what the neuron can send in T steps.

    A neuron with threshold θ and at most γ spikes a step that starts from v0 (in thresholds) answers
    a constant input a with q(a) = (θ / T) clip(floor(T a / θ + v0), 0, γ T): γ T levels above zero.
    The threshold minimises the mean of (a - q(a))² over the calibration images. At few steps it comes
    out well below the largest activation, at many steps close to it.

    Parameters:
        levels: number of levels above zero, reached at γθ; 0: γ T, so that T must be known.
        rounding: "floor" or "nearest" multiple of θ / T; "initial": what v0, and all that a constant
            current adds to it over T steps, makes of it. Initial potentials that are fitted later
            (correction "layerwise") do not count.
        time_steps: T; 0: the T of each read-out, for which the network is then fitted again.
        per_channel: one threshold for each channel, or one for the layer.
        candidates: size of the grid that is searched, from the largest activation down; around its
            best value a second grid ten times finer follows.

    Source: Li et al. 2021 (ICML), arXiv 2106.06984, and the authors' code: rounding down, 95 candidates
    max (1 - 0.01 i) for each channel, and an exponential average of the best ones of about five batches
    where one search over all calibration images is done here.
    """

    name: ClassVar[str] = "least-squares"
    levels: int = 0
    rounding: Literal["initial", "nearest", "floor"] = "initial"
    time_steps: int = 0
    per_channel: bool = True
    candidates: int = 100

    def __post_init__(self) -> None:
        check(self.levels >= 0, f"levels must be positive, or 0 for all of T steps, got {self.levels}")
        check(
            self.rounding in ("initial", "nearest", "floor"),
            f"rounding must be initial, nearest or floor, got {self.rounding}",
        )
        check(self.time_steps >= 0, f"time_steps must be positive, or 0 for T, got {self.time_steps}")
        check(self.candidates >= 1, f"candidates must be at least 1, got {self.candidates}")

    @property
    def needs_time_steps(self) -> bool:
        """True unless the number of levels, or of time steps, is given."""
        return not (self.levels or self.time_steps)

    def clips(self, most: int) -> str:
        """The range is best for a number of levels; only where T sets it, it grows with T."""
        if not self.needs_time_steps:
            given = f"{self.levels} levels" if self.levels else f"T = {self.time_steps}"
            return f"clips activations above the range that is best for {given}"
        return ""

    def thresholds(self, layer: LayerFacts) -> Tensor:
        """Thresholds [C], or [1] for the layer; 0 for a silent channel."""
        most = layer.neuron.max_per_step
        levels = self.levels or layer.neuron.levels_in(self.time_steps or layer.time_steps or 0)
        start = {"nearest": 0.5, "floor": 0.0, "initial": layer.initial}[self.rounding]
        tops = best_range(layer.statistics, levels, start, self.candidates, self.per_channel, refine=True)
        return tops / most


def least_squares_thresholds(statistics: ActivationStatistics, levels: int, candidates: int = 40) -> Tensor:
    """Thresholds [C] whose `levels`-level rounding of the activations has least squared error.

    Minimises the mean of (a - q(a))² with q(a) = (range / levels) clip(round(levels a / range), 0,
    levels) over `candidates` ranges, evenly spaced up to the channel's maximum; the threshold is the
    largest value q can take. Used by the quantised ANN.
    """
    return best_range(statistics, levels, 0.5, candidates)


def best_range(
    statistics: ActivationStatistics,
    levels: int,
    start: float = 0.5,
    candidates: int = 40,
    per_channel: bool = True,
    refine: bool = False,
) -> Tensor:
    """Largest values [C] or [1] of the grids that represent the activations with least squared error.

    Args:
        statistics: of the activations.
        levels: number of levels above zero.
        start: added before rounding down: 0 rounds down, 0.5 to the nearest level.
        candidates: ranges tried, evenly spaced up to the largest activation.
        per_channel: one range a channel, or one for the layer.
        refine: search once more, ten times finer, between the neighbours of the best range.
    """
    if levels < 1:
        raise ValueError("the number of levels, or of time steps, must be known")
    levels = min(levels, FINEST)  # of finer grids, only where they end makes a difference
    maximum = statistics.maximum if per_channel else statistics.maximum.max()[None]
    shares = [torch.full_like(maximum, i / candidates) for i in range(1, candidates + 1)]
    best = _least(statistics, levels, start, maximum, shares)
    if refine:
        finer = [best + i / (10 * candidates) for i in range(-9, 10)]
        best = _least(
            statistics, levels, start, maximum, [share.clamp(0.1 / candidates, 1) for share in finer]
        )
    return maximum * best


def _least(
    statistics: ActivationStatistics, levels: int, start: float, maximum: Tensor, shares: list[Tensor]
) -> Tensor:
    """The share of the maximum, [C] or [1], whose grid has the least squared error."""
    given = torch.stack(shares)
    if levels > FEW:
        errors = _by_bins(statistics, levels, start, maximum, shares)
    else:
        steps = (maximum * given / levels).clamp(min=1e-30)
        together = max(1, AT_ONCE // (levels * len(statistics.maximum)))
        errors = torch.cat([_by_levels(statistics, levels, start, some) for some in steps.split(together)])
    return given.gather(0, errors.argmin(0, keepdim=True))[0]  # the first of several


def _by_levels(statistics: ActivationStatistics, levels: int, start: float, steps: Tensor) -> Tensor:
    """Squared errors of grids, less what all have in common; from sums over the tails of the histogram.

    With q the sum of one step for each level that a value has reached,

        sum q² - 2 sum a q = Σ_k (2 k - 1) step² N_k - 2 step A_k

    where N_k values that add up to A_k are at or above (k - start) step.

    Args:
        statistics: of the activations.
        levels: number of levels above zero.
        start: added before rounding down.
        steps: from one level to the next, [K, C] or [K, 1].

    Returns:
        [K, C], or [K, 1] summed over channels.
    """
    centres, counts = statistics.histogram
    width = 2 * centres[:, :1].double().clamp(min=1e-30)
    sums = counts * torch.cat([torch.zeros_like(centres[:, :1]), centres[:, 1:]], 1)  # bin 0 is 0, nearly all
    tails = [F.pad(values.flip(1).cumsum(1).flip(1), (0, 1)) for values in (counts, sums)]  # [C, BINS + 1]
    level = torch.arange(1, levels + 1, dtype=torch.float64, device=steps.device)
    step = steps.double()[..., None]  # [K, C or 1, 1]
    edges = (level - start) * step
    bins = (edges / width - 0.5).ceil().clamp(1, counts.shape[1]).long()  # of the first values that count
    bins = torch.where(edges > 0, bins, 0).expand(-1, len(counts), -1)
    reached, added = (tail.expand(len(steps), -1, -1).gather(2, bins) for tail in tails)
    errors = ((2 * level - 1) * step.square() * reached - 2 * step * added).sum(2)
    return errors if steps.shape[1] > 1 else errors.sum(1, keepdim=True)


def _by_bins(
    statistics: ActivationStatistics, levels: int, start: float, maximum: Tensor, shares: list[Tensor]
) -> Tensor:
    """Squared errors of grids, [K, C] or [K, 1]; of whatever number of levels."""
    centres, counts = statistics.histogram
    centres = torch.cat([torch.zeros_like(centres[:, :1]), centres[:, 1:]], 1)  # nearly all of bin 0 is 0
    errors = []
    for share in shares:
        step = (maximum * share / levels).clamp(min=1e-30)[:, None]
        rounded = (centres / step + start).floor_().clamp_(0, levels) * step
        error = ((centres - rounded).double().square_() * counts).sum(1)
        errors.append(error.sum()[None] if len(maximum) == 1 else error)
    return torch.stack(errors)
