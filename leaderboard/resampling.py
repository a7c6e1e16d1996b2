"""Intervals of any metric by resampling images, for metrics that are no proportion of images.

N images are drawn with replacement and the metric is computed anew, for both networks on the same draw
where two are compared. Proportions have faster and sharper tools, see `intervals`; they are used
where they apply.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile interval).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leaderboard.image_scores import FloatArray, ImageScores, Proportion
from leaderboard.intervals import LEVEL, Difference, Interval, paired_bootstrap, wilson_interval

RESAMPLES = 1000
FEWEST_RESAMPLES = 100
LARGEST_WORK = 2e8  # table entries read for one figure; large test sets get fewer resamples


def metric_interval(scores: Sequence[ImageScores], *, seed: int = 0, level: float = LEVEL) -> Interval:
    """Interval of a metric: Wilson's for a proportion, else the percentile bootstrap.

    Args:
        scores: one per seed over the same images; their mean is what is bounded.
        seed: of the draws.
        level: confidence level, in (0, 1).
    """
    proportions = [one for one in scores if isinstance(one, Proportion)]
    if len(proportions) == len(scores):
        mean = float(np.mean([one.right.mean() for one in proportions]))
        return wilson_interval(mean, scores[0].count, level)
    drawn = _mean(scores, _draws(scores, seed))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def paired_difference(
    first: Sequence[ImageScores], second: Sequence[ImageScores], *, seed: int = 0, level: float = LEVEL
) -> Difference:
    """Metric of `first` minus metric of `second` over the same images, each averaged over its seeds.

    Args:
        first: one per seed.
        second: one per seed.
        seed: of the draws.
        level: confidence level, in (0, 1).
    """
    left = [one.right for one in first if isinstance(one, Proportion)]
    right = [one.right for one in second if isinstance(one, Proportion)]
    if len(left) == len(first) and len(right) == len(second):
        return paired_bootstrap(np.stack(left), np.stack(right), seed=seed, level=level)
    everyone = np.ones((1, first[0].count), dtype=np.int64)
    stated = float((_mean(first, everyone) - _mean(second, everyone))[0])
    weights = _draws([*first, *second], seed)
    low, high = np.quantile(
        _mean(first, weights) - _mean(second, weights), [(1 - level) / 2, (1 + level) / 2]
    )
    return Difference(stated, float(low), float(high))


def _draws(scores: Sequence[ImageScores], seed: int) -> np.ndarray:
    """How often each image is drawn: [R, N]."""
    images = scores[0].count
    work = sum(one.work for one in scores)
    resamples = int(min(RESAMPLES, max(FEWEST_RESAMPLES, LARGEST_WORK / max(work, 1))))
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=resamples)


def _mean(scores: Sequence[ImageScores], weights: np.ndarray) -> FloatArray:
    mean: FloatArray = np.mean([one.score(weights) for one in scores], axis=0)
    return mean
