"""Confidence intervals: how far a figure could move with other test images.

Two tools. Wilson's interval bounds one proportion. The paired bootstrap bounds the difference of two
networks that saw the same images, which is far narrower than two separate intervals suggest,
because both find the same images hard.

Sources: Wilson 1927, doi:10.1080/01621459.1927.10502953; Efron and Tibshirani 1993, "An
Introduction to the Bootstrap", chapter 13 (percentile interval).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from leaderboard.outcomes import BoolArray

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Lower and upper bound, in the unit of what it bounds."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Mean difference of two networks over the same images, with its bounds (fractions)."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the test set tells the two apart."""
        return self.low > 0 or self.high < 0


def wilson_interval(proportion: float, count: int, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a proportion.

    With z the normal quantile of the level, p the proportion and n the count: centre
    (p + z^2/2n) / (1 + z^2/n), half width z sqrt(p(1-p)/n + z^2/4n^2) / (1 + z^2/n). Unlike the
    textbook normal interval it stays inside [0, 1] and is sound for proportions near 0 and 1.
    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.

    Args:
        proportion: share of successes, in [0, 1].
        count: number of independent trials (test images), at least 1.
        level: confidence level, in (0, 1).

    Raises:
        ValueError: an argument outside its range.
    """
    if not 0 <= proportion <= 1:
        raise ValueError(f"proportion must be in [0, 1], got {proportion}")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    shrink = 1 + z * z / count
    centre = (proportion + z * z / (2 * count)) / shrink
    spread = math.sqrt(proportion * (1 - proportion) / count + z * z / (4 * count * count))
    half = z * spread / shrink
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def paired_bootstrap(
    first: BoolArray, second: BoolArray, *, resamples: int = 4_000, seed: int = 0, level: float = LEVEL
) -> Difference:
    """Mean of `first` minus `second`, with the percentile interval over resampled images.

    Drawing N images with replacement only changes how often each possible difference occurs, so each
    resample is one multinomial draw over the few distinct differences: the same distribution as
    resampling images one by one, at a cost that does not grow with N.

    Args:
        first: outcomes [N] or [S, N] (S seeds, averaged per image).
        second: outcomes over the same images, [N] or [S', N].
        resamples: number of resampled test sets.
        seed: of the generator; the same seed gives the same bounds.
        level: confidence level, in (0, 1).

    Raises:
        ValueError: different numbers of images, or none.
    """
    a, b = np.atleast_2d(first), np.atleast_2d(second)
    if a.shape[1] != b.shape[1] or a.shape[1] == 0:
        raise ValueError(f"paired outcomes need the same images, got {a.shape[1]} and {b.shape[1]}")
    images = a.shape[1]
    scale = a.shape[0] * b.shape[0]
    # Whole numbers, so that equal differences fall into the same category whatever the seeds.
    scaled = a.sum(axis=0, dtype=np.int64) * b.shape[0] - b.sum(axis=0, dtype=np.int64) * a.shape[0]
    values, occurrences = np.unique(scaled, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(images, occurrences / images, size=resamples)
    means = draws @ values / (images * scale)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Difference(float(scaled.mean()) / scale, float(low), float(high))
