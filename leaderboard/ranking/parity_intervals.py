"""How far time steps and energy to parity could move with other test images.

N images are drawn with replacement; the spiking network at every read-out and its ANN are scored on the
same draw, and parity is looked up anew. The bounds are quantiles over the draws. A draw on which parity is
never reached counts as longer than any other, so a bound may be "not reached".

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile interval).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leaderboard.ranking.rows import Row
from leaderboard.records.record import Point, Record
from leaderboard.scores.base import FloatArray
from leaderboard.statistics.figures import ROUNDING, ann_scores, energy_ratio, readouts, snn_scores
from leaderboard.statistics.intervals import LEVEL
from leaderboard.statistics.resampling import resampled

CHEAP_WORK = 20_000  # table entries; metrics that cost more have intervals at the last read-out alone


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

    The images are resampled once, for all distances from the ANN and all limits of time steps.

    Args:
        records: the runs, see `rows.pool_by_seed`.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        drawn = [_drawn(record) for record in records] if is_cheap(records) else [None]
        known = [each for each in drawn if each is not None]
        self._runs = [] if len(known) < len(drawn) else list(zip(records, known, strict=True))

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
        if not self._runs:
            return None
        runs = [_at_parity(record, drawn, points, until) for record, drawn in self._runs]
        models = sorted(set.intersection(*(set(each) for each in runs)))
        bounds = {model: _bounds(_pooled([each[model] for each in runs]), level) for model in models}
        return ParityInterval(bounds.pop(""), bounds)


def parity_interval(row: Row, points: float, *, level: float = LEVEL) -> ParityInterval | None:
    """The interval of one row, up to its read-out `until`; see `ResampledParity`."""
    return ResampledParity(row.records).interval(points, row.until, level=level)


def is_cheap(records: Sequence[Record]) -> bool:
    """Whether the metric of records can be computed anew a thousand times at every read-out."""
    return all(
        (scores := snn_scores(record)) is not None and (scores.right is not None or scores.work <= CHEAP_WORK)
        for record in records
    )


def _drawn(record: Record) -> list[FloatArray] | None:
    """Metric [R] of the ANN and of the spiking network at every read-out, on the same R draws."""
    scores = [ann_scores(record), *(snn_scores(record, point.t) for point in readouts(record))]
    found = [each for each in scores if each is not None]
    if len(found) < len(scores):
        return None
    drawn = resampled(found)
    shared = min(map(len, drawn))
    return [each[:shared] for each in drawn]


def _at_parity(
    record: Record, drawn: Sequence[FloatArray], points: float, until: int | None
) -> dict[str, FloatArray]:
    """Energy at parity [R] by model, and time steps under ""; infinite where parity is never reached."""
    ann, *curve = drawn
    known = readouts(record)
    while until is not None and known[-1].t != until:
        known.pop()
    within = np.stack(curve[: len(known)]) >= ann - points / 100 - ROUNDING  # [read-outs, R]
    stays = np.logical_and.accumulate(within[::-1])[::-1]
    first = np.where(stays[-1], stays.argmax(0), len(known))
    figures: dict[str, list[float | None]] = {"": [point.t_total for point in known]}
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
    stacked = np.stack([run[:shared] for run in runs])
    pooled: FloatArray = np.where(np.isinf(stacked).any(0), np.inf, np.median(stacked, axis=0))
    return pooled


def _bounds(values: FloatArray, level: float) -> Bounds:
    tails = [(1 - level) / 2, (1 + level) / 2]
    # Figures that occur, never a mean of a finite and an infinite one.
    low, high = np.quantile(values, tails, method="inverted_cdf")
    return Bounds(*(float(bound) if np.isfinite(bound) else None for bound in (low, high)))
