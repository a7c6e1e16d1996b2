"""Intervals of any metric by resampling images, for metrics that are no proportion of images.

N images are drawn with replacement and the metric is computed anew, for both networks on the same draw
where two are compared. Proportions have faster and sharper tools, see `intervals`; they are used
where they apply.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile interval).
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from leaderboard.scores.base import BoolArray, FloatArray, ImageScores, of_all_images
from leaderboard.scores.packed import PackedScores
from leaderboard.statistics.intervals import LEVEL, Difference, Interval, paired_bootstrap, wilson_interval

RESAMPLES = 1000
FEWEST_RESAMPLES = 100
LARGEST_WORK = 2e8  # table entries read for one figure; large test sets get fewer resamples
LARGEST_DRAWS = 2e7  # numbers drawn for proportions of images, likewise


def metric_interval(scores: Sequence[ImageScores], *, seed: int = 0, level: float = LEVEL) -> Interval:
    """Interval of a metric: Wilson's for a proportion, else the percentile bootstrap.

    Args:
        scores: one per seed over the same images; their mean is what is bounded.
        seed: of the draws.
        level: confidence level, in (0, 1).
    """
    rights = [one.right for one in scores if one.right is not None]
    if len(rights) == len(scores):
        mean = float(np.mean([np.count_nonzero(right) / right.size for right in rights]))
        return wilson_interval(mean, scores[0].count, level)
    drawn = _mean_resampled(scores, seed)
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
    left = [one.right for one in first if one.right is not None]
    right = [one.right for one in second if one.right is not None]
    if len(left) == len(first) and len(right) == len(second):
        return paired_bootstrap(np.stack(left), np.stack(right), level=level)
    stated = np.mean([_stated(one) for one in first]) - np.mean([_stated(one) for one in second])
    left_drawn, right_drawn = _mean_resampled(first, seed), _mean_resampled(second, seed)
    shared = min(len(left_drawn), len(right_drawn))  # the same test sets, as far as both were scored
    low, high = np.quantile(left_drawn[:shared] - right_drawn[:shared], [(1 - level) / 2, (1 + level) / 2])
    return Difference(float(stated), float(low), float(high))


def _mean_resampled(scores: Sequence[ImageScores], seed: int) -> FloatArray:
    """Metric [R] of resampled test sets, averaged over seeds of training; R is the fewest that all have."""
    drawn = [_resampled(one, seed) for one in scores]
    shared = min(map(len, drawn))
    mean: FloatArray = np.mean([each[:shared] for each in drawn], axis=0)
    return mean


def resampled(scores: Sequence[ImageScores], seed: int = 0) -> list[FloatArray]:
    """Metric [R] of each over resampled test sets, draw by draw the same for all; R may differ.

    Args:
        scores: over the same images.
        seed: of the draws.
    """
    rights = [one.right for one in scores if one.right is not None]
    if len(rights) < len(scores):
        return [_resampled(one, seed) for one in scores]
    images = scores[0].count
    resamples = resamples_of(images)
    # Single precision holds counts up to 2 ** 24 exactly, and multiplies many times faster than integers.
    drawn = _draws(images, resamples, seed, np.float32) @ np.stack(rights, 1).astype(np.float32)
    return list(drawn.T.astype(np.float64) / images)


def resampled_gaps(
    ann: ImageScores, curve: Sequence[ImageScores], seed: int = 0
) -> npt.NDArray[np.int16 | np.int32]:
    """How many images more than the ANN are right [M, R] on R draws.

    The draws are those of `resampled`. Only images about which a network and the ANN disagree can move a
    gap, so only these are counted where they are few.

    Args:
        ann: outcomes with `right`.
        curve: M outcomes over the same images, likewise; those of all recipes on this ANN are faster at
            once than one after the other.
        seed: of the draws.
    """
    images = ann.count
    drawn = _drawn_by_image(images, resamples_of(images), seed)
    reference = _right(ann)
    differences = np.stack([_right(one) for one in curve]).view(np.int8) - reference.view(np.int8)
    disagreed = differences.any(0)
    if 2 * np.count_nonzero(disagreed) < images:
        differences, moving = differences[:, disagreed], drawn[disagreed]
    else:
        moving = drawn
    gaps = np.empty((len(curve), drawn.shape[1]), dtype=np.int16 if images < 2**15 else np.int32)
    at_once = max(1, int(LARGEST_DRAWS / max(differences.shape[1], 1)))
    for start in range(0, len(gaps), at_once):
        here = slice(start, start + at_once)
        # Single precision holds counts up to 2 ** 24 exactly, and multiplies many times faster than integers.
        gaps[here] = differences[here].astype(np.float32) @ moving
    return gaps


def resampled_gap(ann: ImageScores, scores: ImageScores, seed: int = 0) -> npt.NDArray[np.float32]:
    """How many images more than the ANN are right [R], as `resampled_gaps` counts it for many.

    For one read-out that is about as good as its ANN, so that few images have to be looked at.
    """
    drawn = _drawn_by_image(ann.count, resamples_of(ann.count), seed)
    differences = _right(scores).view(np.int8) - _right(ann).view(np.int8)
    moved = np.flatnonzero(differences)
    gap: npt.NDArray[np.float32] = differences[moved].astype(np.float32) @ drawn[moved]
    return gap


def resampled_share(scores: ImageScores, seed: int = 0) -> FloatArray:
    """Share of images that are right on R draws [R], those of `resampled`."""
    drawn = _drawn_by_image(scores.count, resamples_of(scores.count), seed)
    share: FloatArray = (_right(scores).astype(np.float32) @ drawn).astype(np.float64) / scores.count
    return share


def _right(scores: ImageScores) -> BoolArray:
    right = scores.right
    assert right is not None
    return right


def resamples_of(images: int) -> int:
    """How many test sets are drawn for a share of so many images."""
    return int(min(RESAMPLES, max(FEWEST_RESAMPLES, LARGEST_DRAWS / images)))


@lru_cache(maxsize=2)
def _drawn_by_image(images: int, resamples: int, seed: int) -> npt.NDArray[np.float32]:
    """How often each image is drawn in each test set, [N, R]."""
    return np.ascontiguousarray(_draws(images, resamples, seed, np.uint8).T.astype(np.float32))


@lru_cache(maxsize=4)
def _draws(images: int, resamples: int, seed: int, kind: type) -> npt.NDArray[Any]:
    """How often each image is drawn in each test set, [R, N]; kept in the type that is asked for."""
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(images, np.full(images, 1 / images), size=resamples)
    return drawn.astype(kind)


_Key = PackedScores | bytes  # the texts of a record, or a hash of what was in them
_known: dict[tuple[_Key, int], FloatArray] = {}
_known_stated: dict[_Key, float] = {}


def _key(scores: ImageScores) -> _Key:
    if isinstance(scores, PackedScores):
        return scores
    return hashlib.blake2b(pickle.dumps(scores), digest_size=16).digest()


def _stated(scores: ImageScores) -> float:
    """The metric of the test set itself, each image once; computed once for each read-out."""
    key = _key(scores)
    if key not in _known_stated:
        _known_stated[key] = of_all_images(scores)
    return _known_stated[key]


def _resampled(scores: ImageScores, seed: int) -> FloatArray:
    """Metric [R] of R resampled test sets; computed once for each read-out, whatever it is compared with.

    Test set r is the same for everybody with the same number of images, also where R differs.
    """
    key = _key(scores), seed
    if key not in _known:
        if isinstance(scores, PackedScores):
            scores = scores.unpacked()  # once, for its size and its metric
        drawn = _draws(scores.count, draws_of(scores), seed, np.int32)
        _known[key] = scores.score(drawn.astype(np.int64))
    return _known[key]


def draws_of(scores: ImageScores) -> int:
    """How many test sets are drawn for a metric that is computed anew on each."""
    return int(min(RESAMPLES, max(FEWEST_RESAMPLES, LARGEST_WORK / max(scores.work, 1))))
