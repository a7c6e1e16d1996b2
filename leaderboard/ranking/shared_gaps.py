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
from leaderboard.statistics.resampling import (
    draws_of,
    resampled,
    resampled_gap,
    resampled_gaps,
    resampled_share,
    resamples_of,
)

MOST_AT_ONCE = 2e7  # outcomes of single images that are unpacked at a time


class Gaps(Protocol):
    """Gaps of one record to its ANN on R resampled test sets; read-outs with fewest steps first."""

    @property
    def draws(self) -> int:
        """How many test sets R there are."""

    @property
    def ann(self) -> FloatArray:
        """Metric of the ANN [R], a fraction."""

    @property
    def shares(self) -> FloatArray:
        """Metric minus the ANN's at every read-out [T, R], fractions."""

    def share(self, place: int) -> FloatArray:
        """The same at one read-out [R]."""


class CountedGaps:
    """Of a metric that is a share of images: how many images more than the ANN are right.

    `shared` counts those of all records on one ANN in one product. Where few are asked for (`singly`), a
    read-out is counted alone: late ones differ from the ANN in few images, and early ones are seldom needed.
    """

    def __init__(self, shared: SharedGaps, record: Record, reference: ImageScores) -> None:
        self._shared, self._record, self._reference = shared, record, reference
        self._alone: dict[int, npt.NDArray[np.int32]] = {}

    @property
    def draws(self) -> int:
        """See `Gaps`."""
        return resamples_of(self._reference.count)

    @property
    def ann(self) -> FloatArray:
        """See `Gaps`."""
        return self._shared.ann(self._record)

    @property
    def shares(self) -> FloatArray:
        """See `Gaps`."""
        found: FloatArray = self._shared.counted(self._record) / self._reference.count
        return found

    def share(self, place: int) -> FloatArray:
        """See `Gaps`."""
        if not self._shared.singly:
            found: FloatArray = self._shared.counted(self._record)[place] / self._reference.count
            return found
        if place not in self._alone:
            scores = snn_scores(self._record, readouts(self._record)[place].t)
            assert scores is not None
            self._alone[place] = resampled_gap(self._reference, scores).astype(np.int32)
        single: FloatArray = self._alone[place] / self._reference.count
        return single


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
    def draws(self) -> int:
        """See `Gaps`."""
        return min(map(draws_of, [self.reference, *self.curve]))

    def _drawn(self, scores: ImageScores) -> FloatArray:
        (found,) = resampled([scores])
        return found[: self.draws]


class SharedGaps:
    """Gaps of records over the same test images; what several of one ANN need is counted together.

    Args:
        records: all whose gaps will be asked for.
        singly: few of them will be.
    """

    def __init__(self, records: Sequence[Record], *, singly: bool = False) -> None:
        self.singly = singly
        self._records = tuple(records)
        # By identity: the records live as long as this.
        self._known: dict[int, Gaps | None] = {}
        self._counted: dict[int, npt.NDArray[Any]] = {}
        self._anns: dict[_Reference, FloatArray] = {}

    def of(self, record: Record) -> Gaps | None:
        """Gaps of one of the records; None where outcomes of a read-out or of the ANN were not recorded."""
        if id(record) not in self._known:
            ann = ann_scores(record)
            found: Gaps | None = None
            if ann is not None and _reference(record) is not None:
                found = CountedGaps(self, record, ann) if _is_whole(record) else None
            elif ann is not None and (curve := _curve(record)) is not None:
                found = ScoredGaps(ann, curve)
            self._known[id(record)] = found
        return self._known[id(record)]

    def ann(self, record: Record) -> FloatArray:
        """Share of images that the ANN of a record with `CountedGaps` has right [R]."""
        reference, scores = _reference(record), ann_scores(record)
        assert reference is not None
        assert scores is not None
        if reference not in self._anns:
            self._anns[reference] = resampled_share(scores)
        return self._anns[reference]

    def counted(self, record: Record) -> npt.NDArray[Any]:
        """How many images more than the ANN are right [T, R], of a record with `CountedGaps`."""
        if id(record) not in self._counted:
            self._count([one for one in self._records if _reference(one) == _reference(record)])
        return self._counted[id(record)]

    def _count(self, records: Sequence[Record]) -> None:
        """Gaps of records on one ANN, as many at a time as memory allows."""
        waiting: list[tuple[Record, list[ImageScores]]] = []
        size = 0
        for record in records:
            curve, ann = _curve(record), ann_scores(record)
            if curve is None or ann is None:
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
        counted = resampled_gaps(ann, [scores for _, curve in curves for scores in curve])
        start = 0
        for record, curve in curves:
            self._counted[id(record)] = counted[start : start + len(curve)]
            start += len(curve)


_Reference = tuple[str, str, str, int]


def _reference(record: Record) -> _Reference | None:
    """What records on one ANN and the same images have in common, where their metric is a share of images."""
    outcomes = record.outcomes
    if outcomes is None or not outcomes.is_share or outcomes.measure != record.metric:
        return None
    return outcomes.encoding, outcomes.measure, outcomes.ann, outcomes.count


def _is_whole(record: Record) -> bool:
    """Whether outcomes of every read-out were recorded."""
    return record.outcomes is not None and all(point.t in record.outcomes.at for point in record.curve)


def _curve(record: Record) -> list[ImageScores] | None:
    """Outcomes of every read-out; None where one was not recorded."""
    curve = [snn_scores(record, point.t) for point in readouts(record)]
    found = [scores for scores in curve if scores is not None]
    return found if len(found) == len(curve) else None
