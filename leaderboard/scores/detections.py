"""Average precision of a resampled test set, from what became of every detection.

Detections are kept as what became of them, best score first and class by class, not as boxes: position of
the image, class, and one bit per overlap threshold for "hits" and for "does not count"; and once per
record, the number of objects of each image and class. A thousand detections take about three
kilobytes. What follows the last hit of a class is left out, as no precision depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from leaderboard.scores.base import Encoding, FloatArray
from leaderboard.scores.packing import counts, pack, unpack

RECALLS = {"101-point": np.linspace(0, 1, 101), "11-point": np.linspace(0, 1, 11)}
INTERPOLATIONS = (*RECALLS, "all-point")
MOST_CLASSES = 2**16  # detections name their class in 16 bits
MOST_AT_ONCE = 100_000  # table entries; more of them fall out of the processor's cache
LONG = 128  # numbers in a row, from which on numpy accumulates faster row by row
# Of few images with many detections of a class each, a product of matrices counts faster than sums do.
FEW_IMAGES = 256
MANY_EACH = 4
_TINY = np.spacing(1)  # keeps precision defined before the first detection, as in pycocotools


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
    right: ClassVar[None] = None  # no share of images

    @property
    def count(self) -> int:
        """Number of test images N."""
        return len(self.objects)

    @property
    def work(self) -> int:
        """Table entries that one test set takes to score."""
        return self.thresholds * (len(self.image) + 100 * int(self.objects.shape[1]))

    def score(self, weights: npt.NDArray[np.int64]) -> FloatArray:
        """Average precision of weighted detections; see `ImageScores`.

        A class counts in a resampled test set if an object of it was drawn.
        """
        totals = weights @ self.objects  # [R, K]
        # Test sets stand side by side, so that sums over detections run over all of them at once.
        draws = np.ascontiguousarray(weights.T.astype(np.float64))  # [N, R]
        sums = np.zeros(len(weights))
        for label in range(self.objects.shape[1]):
            start, end = np.searchsorted(self.label, [label, label + 1])
            here = slice(int(start), int(end))
            drawn = np.flatnonzero(totals[:, label])
            hits = self._hits(here)
            at_once = max(1, MOST_AT_ONCE // max(1, here.stop - here.start))
            if any(each.up_to is None for each in hits):
                at_once = max(8 * LONG, at_once)
            for first in range(0, len(drawn) if hits else 0, at_once):
                sets = drawn[first : first + at_once]
                sums[sets] += self._class_precision(here, hits, draws[:, sets], totals[sets, label])
        present = (totals > 0).sum(1)
        means: FloatArray = np.divide(sums, present, out=np.zeros_like(sums), where=present > 0)
        return means

    def _hits(self, here: slice) -> list[_Hits]:
        """Hits of one class at every threshold that has some; what several thresholds share stands once."""
        found: dict[tuple[bytes, bytes], _Hits] = {}
        for bit in range(self.thresholds):
            hit, ignored = self.hits[here] >> bit & 1, self.ignored[here] >> bit & 1
            place = np.flatnonzero(hit)
            if len(place):
                key = hit.tobytes(), ignored.tobytes()
                known = found.get(key) or self._hits_at(
                    place, self.image[here], 1 - ignored.astype(np.float64)
                )
                found[key] = replace(known, times=known.times + 1)
        return list(found.values())

    def _hits_at(
        self, place: npt.NDArray[np.intp], image: npt.NDArray[np.int64], counted: FloatArray
    ) -> _Hits:
        images = len(self.objects)
        if images > FEW_IMAGES or MANY_EACH * images > len(image):
            return _Hits(place, image[place], None if counted.all() else counted)
        # How many detections of each image there are up to each hit; exact up to 2 ** 24.
        numbers = np.arange(images)
        seen = np.cumsum((image[:, None] == numbers) * counted[:, None], 0, dtype=np.float32)[place]
        true = np.cumsum(image[place][:, None] == numbers, 0, dtype=np.float32)
        return _Hits(place, image[place], None, (seen, true))

    def _class_precision(
        self, here: slice, hits: Sequence[_Hits], draws: FloatArray, totals: npt.NDArray[np.int64]
    ) -> FloatArray:
        """Average precision [R] of the detections of one class; `totals` [R] objects of it were drawn.

        `hits` are those at each threshold; `draws` [N, R] says how often each test set has each image.
        """
        sums = np.zeros(draws.shape[1])
        steps = _Recall(self.interpolation, totals)
        single = draws.astype(np.float32) if any(each.up_to for each in hits) else None
        drawn = draws[self.image[here]] if any(each.up_to is None for each in hits) else draws
        everything: FloatArray | None = None
        for each in hits:
            # Between hits precision only falls, so no more than the hits are looked at.
            found = draws[each.image]  # [hits, R]
            seen: npt.NDArray[np.float32 | np.float64]
            true: npt.NDArray[np.float32 | np.float64]
            if each.up_to is not None and single is not None:
                seen, true = (counts @ single for counts in each.up_to)
            else:
                if each.counted is not None:
                    seen = _accumulated(np.add, drawn * each.counted[:, None])[each.place]
                else:
                    everything = _accumulated(np.add, drawn.copy()) if everything is None else everything
                    seen = everything[each.place]
                true = _accumulated(np.add, found.copy())
            envelope = true / np.add(seen, _TINY, dtype=np.float64)
            _accumulated(np.maximum, envelope[::-1])
            sums += each.times * steps.area(envelope, found, true)
        return sums / self.thresholds


def _accumulated(operation: np.ufunc, rows: FloatArray) -> FloatArray:
    """`operation.accumulate` over rows, in place."""
    if rows.shape[1] < LONG:
        operation.accumulate(rows, 0, out=rows)
    else:
        for before, row in pairwise(rows):
            operation(before, row, out=row)
    return rows


@dataclass(frozen=True)
class _Hits:
    """Detections of one class that find an object at one threshold, or alike at several."""

    place: npt.NDArray[np.intp]  # among the detections of the class
    image: npt.NDArray[np.int64]
    counted: (
        FloatArray | None
    )  # 1 for detections of the class that count, else 0; None: all do, or see `up_to`
    # Of each image up to each hit, detections that count, and hits [hits, N].
    up_to: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None
    times: int = 0  # at how many thresholds


class _Recall:
    """How much of the area under a curve of precision each hit is worth.

    Args:
        interpolation: one of `INTERPOLATIONS`.
        totals: objects in each of R test sets.
    """

    def __init__(self, interpolation: str, totals: npt.NDArray[np.int64]) -> None:
        self._totals = totals
        self._levels = RECALLS.get(interpolation)
        if self._levels is None:
            return
        # A level of recall takes the precision of the first detection that reaches it.
        numbers, which = np.unique(totals, return_inverse=True)  # few totals occur, each in many test sets
        width = int(numbers[-1]) + 1
        passed = np.zeros((len(numbers), width))
        for row, n in zip(passed, numbers, strict=True):
            row[: n + 1] = np.searchsorted(self._levels, np.arange(n + 1) / n, side="right")
        self._passed, self._start = passed.ravel(), which * width

    def area(
        self, envelope: FloatArray, found: FloatArray, true: npt.NDArray[np.float32 | np.float64]
    ) -> FloatArray:
        """Area [R] under precision that only falls [hits, R].

        Args:
            envelope: the precision.
            found: objects that each hit finds [hits, R].
            true: objects that are found up to each hit [hits, R].
        """
        if self._levels is None:
            return _summed(envelope, found) / self._totals
        reached = np.take(self._passed, self._start + true.astype(np.intp))
        reached[1:] -= reached[:-1].copy()
        return _summed(envelope, reached) / len(self._levels)


def _summed(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted sums [R] over the first axis."""
    total: FloatArray = np.einsum("hr,hr->r", values, weights)
    return total


def average_precision(common: str | None, text: str, count: int) -> AveragePrecision:
    """Decode what a record keeps of one read-out.

    Args:
        common: from `encode_objects`.
        text: from `encode_matches`.
        count: number of test images.

    Raises:
        ValueError: a text is damaged or does not fit the number of images.
    """
    shared, own = (unpack(one, "detections") for one in (common or "", text))
    try:
        scores = AveragePrecision(
            image=counts(own["image"], "images of detections", 1),
            label=counts(own["label"], "classes of detections", 1),
            hits=counts(own["hits"], "hits of detections", 1).astype(np.uint16),
            ignored=counts(own["ignored"], "ignored detections", 1).astype(np.uint16),
            objects=counts(shared["objects"], "objects", 2),
            thresholds=int(counts(shared["thresholds"], "thresholds", 0)),
            interpolation=str(shared["interpolation"]),
        )
    except KeyError as error:
        raise ValueError(f"detections lack {error}") from error
    _check(scores, count)
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
    if scores.objects.shape[1] > MOST_CLASSES:
        raise ValueError(f"objects of {scores.objects.shape[1]} classes, more than {MOST_CLASSES}")
    if scores.interpolation not in INTERPOLATIONS or not 1 <= scores.thresholds <= 16:
        raise ValueError(f"unknown interpolation {scores.interpolation!r} or {scores.thresholds} thresholds")
    if len(scores.image) and (scores.image.max() >= count or scores.label.max() >= scores.objects.shape[1]):
        raise ValueError("detections name images or classes that are not there")
    if (np.diff(scores.label) < 0).any():
        raise ValueError("detections are not sorted by class")
    place = scores.image * scores.objects.shape[1] + scores.label
    for bit in range(scores.thresholds):
        hit = np.bincount(place[scores.hits >> bit & 1 > 0], minlength=scores.objects.size)
        if (hit > scores.objects.ravel()).any():
            raise ValueError("detections hit more objects than there are")


ENCODING = Encoding("detections-npz-base64", decode=average_precision)
