"""What a record keeps of every test image, and the metric of a resampled test set.

A confidence interval asks: what would the metric be, had other images been drawn? `ImageScores` answers
it for any metric that is a function of images and how often each is drawn: a proportion of images is
their weighted mean, an average precision is computed anew from weighted hits and misses.

Detections are kept as what became of them, best score first and class by class, not as boxes: position of
the image, class, and one bit per overlap threshold for "hits" and for "does not count"; and once per
record, the number of objects of each image and class. A thousand detections take about three
kilobytes. What follows the last hit of a class is left out before, as no precision depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from leaderboard.records.record import Outcomes
from leaderboard.scores.outcomes import ENCODING as PROPORTION
from leaderboard.scores.outcomes import BoolArray, decode_outcomes
from leaderboard.scores.overlap_scores import ENCODING as PIXELS
from leaderboard.scores.overlap_scores import mean_overlap
from leaderboard.scores.packing import pack, unpack

FloatArray = npt.NDArray[np.float64]
RECALLS = {"101-point": np.linspace(0, 1, 101), "11-point": np.linspace(0, 1, 11)}
INTERPOLATIONS = (*RECALLS, "all-point")
MOST_AT_ONCE = 200_000  # table entries; more of them fall out of the processor's cache
_TINY = np.spacing(1)  # keeps precision defined before the first detection, as in pycocotools


class ImageScores(Protocol):
    """A metric over a test set whose images may be drawn any number of times."""

    @property
    def count(self) -> int:
        """Number of test images N."""

    @property
    def work(self) -> int:
        """Table entries that one test set takes to score."""

    def score(self, weights: npt.NDArray[np.int64]) -> FloatArray:
        """Return the metric [R] of R test sets, from how often each image is drawn in them [R, N]."""


@dataclass(frozen=True)
class Proportion:
    """The share of images that are right."""

    right: BoolArray  # [N]

    @property
    def share(self) -> float:
        """The metric of the whole test set, each image once."""
        return float(np.count_nonzero(self.right) / self.right.size)

    @property
    def count(self) -> int:
        """Number of test images N."""
        return self.right.size

    @property
    def work(self) -> int:
        """Table entries that one test set takes to score."""
        return self.right.size

    def score(self, weights: npt.NDArray[np.int64]) -> FloatArray:
        """Weighted mean; see `ImageScores`."""
        total: FloatArray = weights @ self.right / weights.sum(1)
        return total


@dataclass(frozen=True)
class AveragePrecision:
    """Mean average precision over classes that occur and over overlap thresholds."""

    image: npt.NDArray[np.int64]  # [D], by class and falling score
    label: npt.NDArray[np.int64]  # [D], ascending
    hits: npt.NDArray[np.uint16]  # [D], one bit per threshold
    ignored: npt.NDArray[np.uint16]  # [D], one bit per threshold
    objects: npt.NDArray[np.int64]  # [N, K]
    thresholds: int
    interpolation: str

    @property
    def count(self) -> int:
        """Number of test images N."""
        return len(self.objects)

    @property
    def work(self) -> int:
        """Table entries that one test set takes to score."""
        return self.thresholds * (len(self.image) + 100 * self.objects.shape[1])

    def score(self, weights: npt.NDArray[np.int64]) -> FloatArray:
        """Average precision of weighted detections; see `ImageScores`.

        A class counts in a resampled test set if an object of it was drawn.
        """
        totals = weights @ self.objects  # [R, K]
        draws = weights.astype(np.int32)  # half the memory to walk through
        sums = np.zeros(len(weights))
        for label in range(self.objects.shape[1]):
            start, end = np.searchsorted(self.label, [label, label + 1])
            here = slice(int(start), int(end))
            drawn = np.flatnonzero(totals[:, label])
            at_once = max(1, MOST_AT_ONCE // max(1, self.thresholds * (here.stop - here.start)))
            for first in range(0, len(drawn), at_once):
                rows = drawn[first : first + at_once]
                sums[rows] += self._class_precision(here, draws[rows], totals[rows, label])
        present = (totals > 0).sum(1)
        return np.divide(sums, present, out=np.zeros_like(sums), where=present > 0)

    def _class_precision(
        self, here: slice, draws: npt.NDArray[np.int32], totals: npt.NDArray[np.int64]
    ) -> FloatArray:
        """Average precision [R] of the detections of one class; `totals` [R] objects of it were drawn."""
        # Between hits precision only falls, so no more than the hits are looked at.
        hit = np.flatnonzero(self.hits[here])
        if not len(hit):
            return np.zeros(len(draws))
        bits = np.arange(self.thresholds, dtype=np.uint16)[:, None]
        drawn = draws[:, None, self.image[here]]  # [R, 1, detections]
        ignored = self.ignored[here]
        counted = (1 - (ignored >> bits & 1)).astype(np.int32) * drawn if ignored.any() else drawn
        seen = np.cumsum(counted, 2, dtype=np.int32)[..., hit]
        good = (self.hits[here][hit] >> bits & 1).astype(np.int32)
        true = np.cumsum(good * drawn[..., hit], 2, dtype=np.int32)  # [R, thresholds, hits]
        precision = true / (seen + _TINY)
        envelope = np.maximum.accumulate(precision[..., ::-1], 2)[..., ::-1]
        if self.interpolation == "all-point":
            recall = true / totals[:, None, None]
            gained = np.diff(recall, axis=2, prepend=0.0)
        else:
            # A level of recall takes the precision of the first detection that reaches it.
            levels = RECALLS[self.interpolation]
            numbers, which = np.unique(totals, return_inverse=True)  # few totals occur, each in many draws
            passed = np.zeros((len(numbers), int(numbers[-1]) + 1), dtype=np.int32)
            for row, n in zip(passed, numbers, strict=True):
                row[: n + 1] = np.searchsorted(levels, np.arange(n + 1) / n, side="right")
            reached = passed[which[:, None, None], true]
            gained = np.diff(reached, axis=2, prepend=0) / len(levels)
        precisions: FloatArray = (envelope * gained).sum(2).mean(1)
        return precisions


def image_scores(outcomes: Outcomes, text: str) -> ImageScores:
    """Decode what a record keeps of one read-out.

    Args:
        outcomes: of the record.
        text: `outcomes.ann`, or an entry of `outcomes.at`.

    Raises:
        ValueError: the text is damaged or does not fit the number of images.
    """
    if outcomes.encoding == PROPORTION:
        return Proportion(decode_outcomes(text, outcomes.count))
    if outcomes.encoding == PIXELS:
        return mean_overlap(outcomes.common or "", text, outcomes.count)
    common, own = (unpack(one, "detections") for one in (outcomes.common or "", text))
    try:
        scores = AveragePrecision(
            image=own["image"].astype(np.int64),
            label=own["label"].astype(np.int64),
            hits=own["hits"],
            ignored=own["ignored"],
            objects=common["objects"].astype(np.int64),
            thresholds=int(common["thresholds"]),
            interpolation=str(common["interpolation"]),
        )
    except KeyError as error:
        raise ValueError(f"detections lack {error}") from error
    _check(scores, outcomes.count)
    return scores


def encode_objects(objects: npt.ArrayLike, thresholds: int, interpolation: str) -> str:
    """Pack what all read-outs of a record share.

    Args:
        objects: [N, K], objects of each image and class that count.
        thresholds: number of overlap thresholds, at most 16.
        interpolation: "101-point" (COCO), "11-point" (VOC 2007) or "all-point" (VOC from 2010).
    """
    return pack(objects=np.asarray(objects, np.uint16), thresholds=thresholds, interpolation=interpolation)


def encode_matches(
    image: npt.ArrayLike, label: npt.ArrayLike, hits: npt.ArrayLike, ignored: npt.ArrayLike
) -> str:
    """Pack the detections of one read-out: [D] each, by class and falling score."""
    return pack(
        image=np.asarray(image, np.uint32),
        label=np.asarray(label, np.uint16),
        hits=np.asarray(hits, np.uint16),
        ignored=np.asarray(ignored, np.uint16),
    )


def _check(scores: AveragePrecision, count: int) -> None:
    """Raise ValueError unless the arrays fit each other."""
    sizes = {len(scores.image), len(scores.label), len(scores.hits), len(scores.ignored)}
    if len(sizes) > 1:
        raise ValueError(f"detections have columns of different lengths: {sorted(sizes)}")
    if scores.objects.ndim != 2 or len(scores.objects) != count:
        raise ValueError(f"objects of {count} images asked for, found shape {list(scores.objects.shape)}")
    if scores.interpolation not in INTERPOLATIONS or not 1 <= scores.thresholds <= 16:
        raise ValueError(f"unknown interpolation {scores.interpolation!r} or {scores.thresholds} thresholds")
    if len(scores.image) and (scores.image.max() >= count or scores.label.max() >= scores.objects.shape[1]):
        raise ValueError("detections name images or classes that are not there")
    if (np.diff(scores.label) < 0).any():
        raise ValueError("detections are not sorted by class")
