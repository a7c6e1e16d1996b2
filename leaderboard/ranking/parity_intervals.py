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

from leaderboard.ranking.shared_gaps import Gaps, SharedGaps
from leaderboard.records.record import Record
from leaderboard.scores.base import FloatArray, IntArray
from leaderboard.statistics.figures import ROUNDING, energy_ratio, readouts, snn_scores
from leaderboard.statistics.intervals import LEVEL

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


@dataclass(frozen=True)
class _Figures:
    """Time steps (under STEPS) and energies at parity of a row, pooled over its runs.

    On most of the R draws a row is at parity at one of very few read-outs, so figures are computed for the
    U cases that occur.
    """

    names: dict[str, int]  # the row of `values`
    values: FloatArray  # [names, U]; infinite where parity is never reached
    case: IntArray  # of each draw [R]
    draws: IntArray  # of each case [U]

    def drawn(self, name: str) -> FloatArray:
        """One figure on every draw [R]."""
        found: FloatArray = self.values[self.names[name]][self.case]
        return found

    def bounds(self, level: float) -> dict[str, Bounds]:
        """Figures that occur, never a mean of a finite and an infinite one: the inverted distribution."""
        order = np.argsort(self.values, axis=1)
        up_to = np.cumsum(self.draws[order], axis=1)
        number = len(self.case)
        ends = []
        for tail in ((1 - level) / 2, (1 + level) / 2):
            place = max(math.ceil(round(tail * number, 6)) - 1, 0)
            at = np.count_nonzero(up_to <= place, axis=1)
            ends.append(self.values[np.arange(len(order)), order[np.arange(len(order)), at]].tolist())
        return {
            name: Bounds(*(bound if math.isfinite(bound) else None for bound in (ends[0][i], ends[1][i])))
            for name, i in self.names.items()
        }


class _Run:
    """One record of a row on the resampled test sets."""

    def __init__(self, record: Record, gaps: Gaps) -> None:
        self.record = record
        self.gaps = gaps
        known = readouts(record)
        self._place = {point.t: place for place, point in enumerate(known, start=1)}
        self._firsts: dict[float, IntArray] = {}
        figures: dict[str, list[float | None]] = {STEPS: [point.t_total for point in known]}
        figures |= {name: [energy_ratio(record, p, name) for p in known] for name in record.ann.energy_pj}
        self._table = np.array([[*of, np.inf] for of in figures.values()], dtype=np.float64)
        self._rows = {name: row for row, name in enumerate(figures)}
        # Up to how many read-outs each is known.
        self._known = {name: of.index(None) if None in of else len(of) for name, of in figures.items()}

    def number_of(self, until: int | None) -> int:
        """How many read-outs count."""
        return len(self._place) if until is None else self._place[until]

    def names(self, until: int | None) -> list[str]:
        """Figures that are known up to `until`."""
        number = self.number_of(until)
        return [name for name, known in self._known.items() if known >= number]

    def figures(self, names: Sequence[str]) -> FloatArray:
        """Figures at each read-out, infinity at the end [names, T + 1]."""
        found: FloatArray = self._table[[self._rows[name] for name in names]]
        return found

    def first(self, points: float, until: int | None) -> IntArray:
        """Place of the first read-out [R] from which the gap stays within `points`; T where there is none."""
        if until is None and points not in self._firsts:
            return self._last_first(points)
        if points not in self._firsts:
            within = self.gaps.shares >= -points / 100 - ROUNDING  # [T, R]
            total = len(within)
            firsts = np.empty(within.shape, dtype=np.min_scalar_type(total))
            lasting = np.zeros(within.shape[1], dtype=np.int64)  # for how many read-outs it has been within
            for place, here in enumerate(within, start=1):
                lasting = (lasting + 1) * here
                firsts[place - 1] = np.where(lasting > 0, place - lasting, total)
            self._firsts[points] = firsts
        found: IntArray = self._firsts[points][self.number_of(until) - 1]
        return found

    def _last_first(self, points: float) -> IntArray:
        """The same up to the last read-out: early ones are looked at where they can matter."""
        total = len(self._place)
        found: IntArray = np.full(self.gaps.draws, total, dtype=np.int64)
        lasting = np.ones(len(found), dtype=np.bool_)
        for place in reversed(range(total)):
            lasting &= self.gaps.share(place) >= -points / 100 - ROUNDING
            if not lasting.any():
                break
            found[lasting] = place
        return found


class ResampledParity:
    """Parity of runs that differ by nothing but seed, on resampled test images.

    The images are resampled once, when they are first needed, for all distances from the ANN and all limits
    of time steps.

    Args:
        records: the runs, see `rows.pool_by_seed`.
        shared: gaps of these records and of others on their board.
    """

    def __init__(self, records: Sequence[Record], shared: SharedGaps | None = None) -> None:
        self._records = records
        self._shared = shared or SharedGaps(records)
        self._until: int | None = None  # that `_figures` are of; those of all limits would fill the memory
        self._figures: dict[float, _Figures | None] = {}
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
        key = points, until, level
        if key not in self._intervals:
            figures = self._figures_of(points, until)
            if figures is None:
                return None
            bounds = figures.bounds(level)
            self._intervals[key] = ParityInterval(bounds.pop(STEPS), dict(sorted(bounds.items())))
        return self._intervals[key]

    def drawn(self, points: float, until: int | None, name: str = STEPS) -> FloatArray | None:
        """Time steps to parity [R], or energy there under the model `name`, infinite where it is not reached.

        None where `interval` is None, or a record has no figure under the model.
        """
        figures = self._figures_of(points, until)
        return None if figures is None or name not in figures.names else figures.drawn(name)

    @property
    def is_known(self) -> bool:
        """Whether the runs can be looked at on resampled test images; where not, there is no `interval`."""
        return bool(self._runs)

    def metric(self, until: int | None) -> FloatArray | None:
        """Metric [R] at the last read-out that counts, mean over runs; None as for `interval`."""
        if until not in self._ends:
            found = [run.gaps.share(run.number_of(until) - 1) + run.gaps.ann for run in self._runs]
            shared = min(map(len, found), default=0)
            self._ends[until] = np.mean([each[:shared] for each in found], axis=0) if found else None
        return self._ends[until]

    def metrics(self) -> list[tuple[Record, FloatArray]] | None:
        """Of every run, its metric at each read-out [T, R]; None as for `interval`."""
        if not self._runs:
            return None
        return [(run.record, run.gaps.shares + run.gaps.ann) for run in self._runs]

    @cached_property
    def _runs(self) -> list[_Run]:
        """Every run on the resampled test images; empty as soon as one has no outcomes."""
        if not is_cheap(self._records):
            return []
        gaps = [(record, self._shared.of(record)) for record in self._records]
        known = [_Run(record, found) for record, found in gaps if found is not None]
        return known if len(known) == len(gaps) else []

    def _figures_of(self, points: float, until: int | None) -> _Figures | None:
        if until != self._until:
            self._figures.clear()
            self._until = until
        if points not in self._figures:
            self._figures[points] = _pooled(self._runs, points, until) if self._runs else None
        return self._figures[points]


def is_cheap(records: Sequence[Record]) -> bool:
    """Whether the metric of records can be computed anew a thousand times at every read-out."""
    return all(
        (scores := snn_scores(record)) is not None and (scores.right is not None or scores.work <= CHEAP_WORK)
        for record in records
    )


def _pooled(runs: Sequence[_Run], points: float, until: int | None) -> _Figures:
    """Median over runs, infinite as soon as one is, of the figures that all runs have."""
    firsts = [run.first(points, until) for run in runs]
    shared = min(map(len, firsts))
    case, read = np.zeros(shared, dtype=np.int64), np.zeros((0, 1), dtype=np.int64)
    for first in firsts:
        # A case is a case of the runs before this one, and a read-out of this one.
        places = int(first.max()) + 1
        case = case * places + first[:shared]
        cases = np.flatnonzero(np.bincount(case))
        number = np.zeros(int(cases[-1]) + 1, dtype=np.int64)
        number[cases] = np.arange(len(cases))
        case = number[case]
        read = np.vstack([read[:, cases // places], cases % places])
    known = [run.names(until) for run in runs]
    names = [name for name in known[0] if all(name in others for others in known[1:])]
    figures = np.stack([run.figures(names)[:, at] for run, at in zip(runs, read, strict=True)])
    if len(runs) > 1:
        figures = np.sort(figures, axis=0)  # faster than a median of few
    low, high = (len(runs) - 1) // 2, len(runs) // 2
    # The mean of two infinities is one, of a single run its own figure.
    values = figures[0] if len(runs) == 1 else (figures[low] + figures[high]) / 2
    values = np.where(np.isinf(figures[-1]), np.inf, values)
    names_at = {name: place for place, name in enumerate(names)}
    return _Figures(names_at, values, case, np.bincount(case, minlength=read.shape[1]))
