"""How far time steps and energy to parity could move with other test images.

N images are drawn with replacement; the spiking network at every read-out and its ANN are scored on the
same draw, and parity is looked up anew. The bounds are quantiles over the draws. A draw on which parity is
never reached counts as longer than any other, so a bound may be "not reached".

The draws are the same for all rows over the same number of images, so two rows can be compared draw by draw
(`leaderboard.ranking.orders`).

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile interval).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from leaderboard.records.record import Point, Record
from leaderboard.scores.base import FloatArray
from leaderboard.statistics.figures import ROUNDING, ann_scores, energy_ratio, readouts, snn_scores
from leaderboard.statistics.intervals import LEVEL
from leaderboard.statistics.resampling import resampled, resampled_gaps

CHEAP_WORK = 20_000  # table entries; metrics that cost more have intervals at the last read-out alone
STEPS = ""  # among the names of energy models: time steps


@dataclass(frozen=True)
class Bounds:
    """A 95 % interval whose ends may lie beyond what was run (None)."""

    low: float | None
    high: float | None


@dataclass(frozen=True)
class ParityInterval:
    """Of one row: time steps to parity, and energy there as a multiple of the ANN's, model by model."""

    steps: Bounds
    energy: dict[str, Bounds]


class ResampledParity:
    """Parity of runs that differ by nothing but seed, on resampled test images.

    The images are resampled once, when they are first needed, for all distances from the ANN and all limits
    of time steps.

    Args:
        records: the runs, see `rows.pool_by_seed`.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        self._at: dict[tuple[float, int | None], list[dict[str, FloatArray]]] = {}
        self._pooled: dict[tuple[float, int | None], dict[str, FloatArray]] = {}
        self._intervals: dict[tuple[float, int | None, float], ParityInterval] = {}
        self._ends: dict[int | None, FloatArray | None] = {}
        self.kept: dict[
            object, Any
        ] = {}  # what others computed of the same runs, and ask for again and again

    def interval(
        self, points: float, until: int | None = None, *, level: float = LEVEL
    ) -> ParityInterval | None:
        """Interval of what `rows.row_of` states as time steps and energy to parity.

        Args:
            points: parity within so many percentage points.
            until: last read-out that counts; None: all.
            level: confidence level, in (0, 1).

        Returns:
            None where a record lacks its outcomes, or scoring them again and again would take long.
        """
        figures = self._figures(points, until)
        if not figures:
            return None
        key = points, until, level
        if key not in self._intervals:
            bounds = {model: _bounds(values, level) for model, values in sorted(figures.items())}
            self._intervals[key] = ParityInterval(bounds.pop(STEPS), bounds)
        return self._intervals[key]

    def drawn(self, points: float, until: int | None, name: str = STEPS) -> FloatArray | None:
        """Time steps to parity [R], or energy there under the model `name`, infinite where it is not reached.

        None where `interval` is None, or a record has no figure under the model.
        """
        return self._figures(points, until).get(name)

    def metric(self, until: int | None) -> FloatArray | None:
        """Metric [R] at the last read-out that counts, mean over runs; None as for `interval`."""
        if until in self._ends:
            return self._ends[until]
        found = [
            gaps[[point.t for point in readouts(record)].index(until) if until is not None else -1] + ann
            for record, gaps, ann in self._gaps
        ]
        shared = min(map(len, found), default=0)
        mean: FloatArray | None = np.mean([each[:shared] for each in found], axis=0) if found else None
        self._ends[until] = mean
        return mean

    def metrics(self) -> list[tuple[Record, FloatArray]] | None:
        """Of every run, its metric at each read-out [T, R]; None as for `interval`."""
        if not self._gaps:
            return None
        return [(record, gaps + ann) for record, gaps, ann in self._gaps]

    @cached_property
    def _gaps(self) -> list[tuple[Record, FloatArray, FloatArray]]:
        """Run by run, metric minus the ANN's at every read-out [T, R], and the ANN's metric [R]."""
        if not is_cheap(self._records):
            return []
        drawn = [(record, _drawn(record)) for record in self._records]
        known = [(record, *found) for record, found in drawn if found is not None]
        return known if len(known) == len(drawn) else []

    def _figures(self, points: float, until: int | None) -> dict[str, FloatArray]:
        """Time steps and energies at parity [R], pooled over runs, that all runs have."""
        key = points, until
        if key not in self._pooled:
            runs = self._at_parity(points, until)
            names = set.intersection(*(set(each) for each in runs)) if runs else set()
            self._pooled[key] = {name: _pooled([each[name] for each in runs]) for name in names}
        return self._pooled[key]

    def _at_parity(self, points: float, until: int | None) -> list[dict[str, FloatArray]]:
        key = points, until
        if key not in self._at:
            self._at[key] = [_at_parity(record, gaps, points, until) for record, gaps, _ in self._gaps]
        return self._at[key]


def is_cheap(records: Sequence[Record]) -> bool:
    """Whether the metric of records can be computed anew a thousand times at every read-out."""
    return all(
        (scores := snn_scores(record)) is not None and (scores.right is not None or scores.work <= CHEAP_WORK)
        for record in records
    )


def _drawn(record: Record) -> tuple[FloatArray, FloatArray] | None:
    """Gap to the ANN at every read-out [T, R] and the ANN's metric [R], on the same R draws."""
    ann = ann_scores(record)
    curve = [snn_scores(record, point.t) for point in readouts(record)]
    found = [each for each in curve if each is not None]
    if ann is None or len(found) < len(curve):
        return None
    if ann.right is not None and all(each.right is not None for each in found):
        return resampled_gaps(ann, found)
    drawn = resampled([ann, *found])
    shared = min(map(len, drawn))
    first, *others = (each[:shared] for each in drawn)
    return np.stack(others) - first, first


def _at_parity(record: Record, gaps: FloatArray, points: float, until: int | None) -> dict[str, FloatArray]:
    """Energy at parity [R] by model, and time steps under STEPS; infinite where parity is never reached."""
    known = readouts(record)
    while until is not None and known[-1].t != until:
        known.pop()
    within = gaps[: len(known)] >= -points / 100 - ROUNDING  # [read-outs, R]
    stays = np.logical_and.accumulate(within[::-1])[::-1]
    first = np.where(stays[-1], stays.argmax(0), len(known))
    figures: dict[str, list[float | None]] = {STEPS: [point.t_total for point in known]}
    figures |= {model: [energy_ratio(record, p, model) for p in known] for model in _models(record, known)}
    return {
        name: np.array([*values, np.inf], dtype=np.float64)[first]
        for name, values in figures.items()
        if None not in values
    }


def _models(record: Record, points: Sequence[Point]) -> set[str]:
    return set(record.ann.energy_pj).intersection(*(point.energy_pj for point in points))


def _pooled(runs: Sequence[FloatArray]) -> FloatArray:
    """Median over runs, infinite as soon as one is; [R]."""
    shared = min(map(len, runs))
    stacked = np.sort(np.stack([run[:shared] for run in runs]), axis=0)  # faster than a median of few
    low, high = (len(runs) - 1) // 2, len(runs) // 2
    if len(runs) == 1:
        return runs[0]
    pooled: FloatArray = np.where(np.isinf(stacked[-1]), np.inf, (stacked[low] + stacked[high]) / 2)
    return pooled


def _bounds(values: FloatArray, level: float) -> Bounds:
    """Figures that occur, never a mean of a finite and an infinite one: the inverted distribution."""
    ordered = np.sort(values)
    tails = [(1 - level) / 2, (1 + level) / 2]
    places = [max(math.ceil(round(tail * len(ordered), 6)) - 1, 0) for tail in tails]
    low, high = (float(ordered[place]) for place in places)
    return Bounds(*(bound if math.isfinite(bound) else None for bound in (low, high)))
