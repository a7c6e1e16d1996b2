"""How far every read-out of a board is from its ANN on resampled test images, counted once for the board.

All recipes on one ANN are counted on the same draws in one product of matrices. Gaps of shares of images are
kept as numbers of images, a quarter of what fractions would take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leaderboard.records.record import Record
from leaderboard.scores.base import FloatArray, ImageScores
from leaderboard.statistics.figures import ann_scores, readouts, snn_scores
from leaderboard.statistics.resampling import resampled, resampled_gaps

MOST_AT_ONCE = 2e7  # outcomes of single images that are unpacked at a time


@dataclass(frozen=True)
class Gaps:
    """Gaps of one record to its ANN on R resampled test sets."""

    counted: npt.NDArray[Any]  # [T, R], in units of 1 / `images`; read-outs with fewest steps first
    images: int  # 1 where `counted` are fractions
    ann: FloatArray  # metric of the ANN [R], a fraction

    @property
    def shares(self) -> FloatArray:
        """Metric minus the ANN's [T, R], fractions."""
        found: FloatArray = self.counted / self.images
        return found

    def at(self, place: int) -> FloatArray:
        """Metric [R] at one read-out, a fraction."""
        found: FloatArray = self.counted[place] / self.images + self.ann
        return found


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
            self._known[id(record)] = Gaps(own, ann.count, share)
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
    if ann is None or curve is None:
        return None
    drawn = resampled([ann, *curve])
    shared = min(map(len, drawn))
    first, *others = (each[:shared] for each in drawn)
    return Gaps(np.stack(others) - first, 1, first)
