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
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from leaderboard.scores.base import BoolArray, IntArray

LEVEL = 0.95
ComplexArray = npt.NDArray[np.complex128]


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
    def turned(self) -> Difference:
        """The same with the two the other way round."""
        return Difference(-self.mean, -self.high, -self.low)

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


def paired_bootstrap(first: BoolArray, second: BoolArray, *, level: float = LEVEL) -> Difference:
    """Mean of `first` minus `second`, with the percentile interval over resampled images.

    The mean of N images drawn with replacement is a sum of N independent draws from the few distinct
    differences that occur. Its distribution is their N-fold convolution, which one Fourier transform gives
    exactly: what any number of random resamples would only approach ("ideal bootstrap", Efron and
    Tibshirani 1993, chapter 6).

    Args:
        first: outcomes [N] or [S, N] (S seeds, averaged per image).
        second: outcomes over the same images, [N] or [S', N].
        level: confidence level, in (0, 1).

    Raises:
        ValueError: different numbers of images, or none.
    """
    a, b = np.atleast_2d(first), np.atleast_2d(second)
    if a.shape[1] != b.shape[1] or a.shape[1] == 0:
        raise ValueError(f"paired outcomes need the same images, got {a.shape[1]} and {b.shape[1]}")
    differences, occurrences = _distinct_differences(a, b)
    scale = a.shape[0] * b.shape[0]
    return _ideal_bootstrap(tuple(differences.tolist()), tuple(occurrences.tolist()), scale, level)


@lru_cache(maxsize=1 << 15)  # a board compares all pairs of rows, most of which differ on as many images
def _ideal_bootstrap(
    distinct: tuple[int, ...], counts: tuple[int, ...], scale: int, level: float
) -> Difference:
    """Mean and interval for differences of images, ascending, and how many images have each."""
    differences, occurrences = np.array(distinct, dtype=np.int64), np.array(counts, dtype=np.int64)
    images = int(occurrences.sum())
    mean = float(differences @ occurrences) / images
    lowest = int(differences[0])
    step = int(np.gcd.reduce(differences - lowest)) or 1
    spread = np.zeros((int(differences[-1]) - lowest) // step + 1, dtype=np.int64)
    spread[(differences - lowest) // step] = occurrences
    occurrences = spread
    sums = images * (len(occurrences) - 1) + 1  # distinct sums of `images` draws
    start, reach = _bulk(occurrences, images)
    length = 1 << (min(reach, sums) - 1).bit_length()
    # The transform counts modulo `length`; outside the bulk of the sums there is nothing to mix it up with.
    start = start if length < sums else 0
    turned = np.zeros(length)
    np.add.at(turned, np.arange(len(occurrences)) % length, occurrences / images)
    chances = np.fft.irfft(_power(np.fft.rfft(turned), images), length) if length > 1 else np.ones(1)
    chances = np.roll(chances, -(start % length))
    tail = (1 - level) / 2
    bounds = (
        start + int(np.searchsorted(np.cumsum(chances), tail)),
        start + length - 1 - int(np.searchsorted(np.cumsum(chances[::-1]), tail)),
    )
    low, high = ((images * lowest + step * bound) / (images * scale) for bound in bounds)
    return Difference(mean / scale, low, high)


def _distinct_differences(a: BoolArray, b: BoolArray) -> tuple[IntArray, IntArray]:
    """Differences of images between two networks, and how many images have each.

    Whole numbers (S * S' times the difference), so that equal differences fall together whatever the seeds.

    Returns:
        The differences that occur, ascending, and their occurrences.
    """
    runs_a, runs_b = a.shape[0], b.shape[0]
    right_a, right_b = (_right_runs(one) for one in (a, b))
    pairs = np.bincount(right_a * np.intp(runs_b + 1) + right_b)
    known = np.flatnonzero(pairs)
    values = known // (runs_b + 1) * runs_b - known % (runs_b + 1) * runs_a
    differences, place = np.unique(values, return_inverse=True)
    return differences, np.bincount(place, weights=pairs[known]).astype(np.int64)


def _right_runs(outcomes: BoolArray) -> IntArray:
    """How many runs [N] are right about each image."""
    small = np.uint8 if len(outcomes) < 256 else np.int64
    right: IntArray = np.add.reduce(outcomes, axis=0, dtype=small).astype(np.int64)
    return right


def _power(values: ComplexArray, exponent: int) -> ComplexArray:
    """A whole power by repeated squaring, which takes a tenth of the time of numpy's complex `**`."""
    result = np.ones_like(values)
    while exponent:
        if exponent & 1:
            result *= values
        values = values * values
        exponent >>= 1
    return result


def _bulk(occurrences: IntArray, images: int) -> tuple[int, int]:
    """Where all but a chance of about 1e-15 of the sums of draws lies: first sum, and how many from there.

    Ten standard deviations, and ten of the largest draws for distributions that are far from normal.
    """
    values = np.arange(len(occurrences))
    mean = float(values @ occurrences) / images
    variance = float((values - mean) ** 2 @ occurrences) / images
    half = math.ceil(10 * math.sqrt(images * variance)) + 10 * len(occurrences)
    return math.floor(images * mean) - half, 2 * half + 1
