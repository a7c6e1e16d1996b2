"""How far every read-out of a board is from its ANN on resampled test images, counted once for the board.

All recipes on one ANN are counted on the same draws in one product of matrices. Gaps of shares of images are
kept as numbers of images, a quarter of what fractions would take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from leaderboard.records.record import Record
from leaderboard.scores.base import FloatArray, ImageScores
from leaderboard.statistics.figures import ann_scores, readouts, snn_scores
from leaderboard.statistics.resampling import draws_of, resampled, resampled_gaps

MOST_AT_ONCE = 2e7  # outcomes of single images that are unpacked at a time


class Gaps(Protocol):
    """Gaps of one record to its ANN on R resampled test sets; read-outs with fewest steps first."""

    @property
    def ann(self) -> FloatArray:
        """Metric of the ANN [R], a fraction."""

    @property
    def shares(self) -> FloatArray:
        """Metric minus the ANN's at every read-out [T, R], fractions."""

    def share(self, place: int) -> FloatArray:
        """The same at one read-out [R]."""


@dataclass(frozen=True)
class CountedGaps:
    """Of a metric that is a share of images: how many images more than the ANN are right."""

    counted: npt.NDArray[Any]  # [T, R]
    images: int
    ann: FloatArray

    @property
    def shares(self) -> FloatArray:
        """See `Gaps`."""
        found: FloatArray = self.counted / self.images
        return found

    def share(self, place: int) -> FloatArray:
        """See `Gaps`."""
        found: FloatArray = self.counted[place] / self.images
        return found


@dataclass(frozen=True)
class ScoredGaps:
    """Of a metric that is computed anew on every draw, read-out by read-out when one is asked for."""

    reference: ImageScores
    curve: Sequence[ImageScores]

    @cached_property
    def ann(self) -> FloatArray:
        """See `Gaps`."""
        return self._drawn(self.reference)

    @property
    def shares(self) -> FloatArray:
        """See `Gaps`."""
        return np.stack([self.share(place) for place in range(len(self.curve))])

    def share(self, place: int) -> FloatArray:
        """See `Gaps`."""
        found: FloatArray = self._drawn(self.curve[place]) - self.ann
        return found

    @cached_property
    def _draws(self) -> int:
        return min(map(draws_of, [self.reference, *self.curve]))

    def _drawn(self, scores: ImageScores) -> FloatArray:
        (found,) = resampled([scores])
        return found[: self._draws]


class SharedGaps:
    """Gaps of records over the same test images, counted when the first of an ANN is asked for.

    Args:
        records: all whose gaps will be asked for.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = tuple(records)
        self._known: dict[int, Gaps | None] = {}  # by identity: the records live as long as this

    def of(self, record: Record) -> Gaps | None:
        """Gaps of one of the records; None where outcomes of a read-out or of the ANN were not recorded."""
        if id(record) not in self._known:
            if record.outcomes is not None and record.outcomes.is_share:
                same = [one for one in self._records if _reference(one) == _reference(record)]
                self._count(same)
            else:
                self._known[id(record)] = _scored(record)
        return self._known[id(record)]

    def _count(self, records: Sequence[Record]) -> None:
        """Gaps of records on one ANN, shares of images, as many at a time as memory allows."""
        waiting: list[tuple[Record, list[ImageScores]]] = []
        size = 0
        for record in records:
            curve = _curve(record)
            ann = None if curve is None else ann_scores(record)
            if curve is None or ann is None:
                self._known[id(record)] = None
                continue
            size += len(curve) * ann.count
            if waiting and size > MOST_AT_ONCE:
                self._count_together(waiting)
                waiting, size = [], len(curve) * ann.count
            waiting.append((record, curve))
        if waiting:
            self._count_together(waiting)

    def _count_together(self, curves: Sequence[tuple[Record, list[ImageScores]]]) -> None:
        ann = ann_scores(curves[0][0])
        assert ann is not None
        counted, share = resampled_gaps(ann, [scores for _, curve in curves for scores in curve])
        start = 0
        for record, curve in curves:
            own = counted[start : start + len(curve)]
            self._known[id(record)] = CountedGaps(own, ann.count, share)
            start += len(curve)


def _reference(record: Record) -> tuple[str, str, str, int] | None:
    """What records on one ANN and the same images have in common, where their metric is a share of images."""
    outcomes = record.outcomes
    if outcomes is None or not outcomes.is_share or outcomes.measure != record.metric:
        return None
    return outcomes.encoding, outcomes.measure, outcomes.ann, outcomes.count


def _curve(record: Record) -> list[ImageScores] | None:
    """Outcomes of every read-out; None where one was not recorded."""
    curve = [snn_scores(record, point.t) for point in readouts(record)]
    found = [scores for scores in curve if scores is not None]
    return found if len(found) == len(curve) else None


def _scored(record: Record) -> Gaps | None:
    """Gaps of a metric that is computed anew on every draw."""
    ann, curve = ann_scores(record), _curve(record)
    return None if ann is None or curve is None else ScoredGaps(ann, curve)
