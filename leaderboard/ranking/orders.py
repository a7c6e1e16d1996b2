"""What ranks a row within its group, and when two rows share a rank.

    parity     fewest time steps to 1-point parity, then least energy there (the default)
    accuracy   the metric at the last read-out, or at the last within a limit of time steps
    energy     least energy at 1-point parity under one model; rows without a figure have no rank
    area       mean metric over T = 1, 2, 4, ...: good early and late

Rows that are not at parity follow those that are, in the order of their metric. Two rows share a rank where
the test images do not tell them apart: on fewer than 97.5 % of the resampled test sets one of them is ahead.
Ahead is who takes fewer steps; at equal steps less energy; at equal energy, and where neither is at parity,
who has the better metric. So the uncertainty of time steps to parity is part of a tie. By accuracy, rows are
told apart by the paired bootstrap over images. Where outcomes of images were not recorded, or are costly to
score again, figures are compared as they stand. Ranks count as in sports: 1, 1, 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

import energy
from leaderboard.ranking import kept_answers
from leaderboard.ranking.families import OWN
from leaderboard.ranking.parity_intervals import STEPS
from leaderboard.ranking.rows import PARITY_POINTS, Row
from leaderboard.scores.base import BoolArray, FloatArray
from leaderboard.statistics.figures import snn_minus_snn
from leaderboard.statistics.intervals import LEVEL

Kind = Literal["parity", "accuracy", "energy", "area"]
KINDS: tuple[Kind, ...] = get_args(Kind)
AHEAD = (1 + LEVEL) / 2  # share of resampled test sets on which a row has to be ahead
INFINITE = float("inf")


@dataclass(frozen=True)
class Order:
    """What rows are ranked by."""

    kind: Kind = "parity"
    model: str = energy.REFERENCE  # energy model

    def value(self, row: Row, limit: int) -> float | None:
        """The figure that ranks; None where there is none. `limit`: see `area_of`."""
        if self.kind == "parity":
            return row.steps_within_1_point
        if self.kind == "energy":
            return row.energy_at_parity.get(self.model)
        return row.metric if self.kind == "accuracy" else area_of(row, limit)


DEFAULT = Order()


def ranked(
    rows: Sequence[Row], order: Order = DEFAULT, limit: int | None = None, *, leaders: bool = False
) -> list[Row]:
    """The rows of one group, best first, with their ranks.

    Args:
        rows: of one group; baselines are ordered and get no rank.
        order: what ranks them.
        limit: T up to which areas are taken; None: the longest of these rows.
        leaders: rank the first two rows alone, which says who leads and whether others share the lead: boards
            that are only named need no more, and comparing all rows may take long.
    """
    longest = limit or max((int(row.final_t_total) for row in rows), default=1)
    members = sorted(rows, key=lambda row: _key(row, order, longest))
    places: list[int | None] = []
    leader: Row | None = None
    told = 0  # rows with a rank
    for place, row in enumerate(members, start=1):
        unknown = order.kind == "energy" and order.value(row, longest) is None
        if row.group == "baseline" or unknown or (leaders and told == 2):
            places.append(None)
        elif leader is not None and not apart(leader, row, order, longest):
            places.append(next(known for known in reversed(places) if known is not None))
        else:
            leader = row
            places.append(place)
        told += places[-1] is not None
    sharing = Counter(places)
    return [
        replace(row, rank=place, tied=place is not None and sharing[place] > 1)
        for row, place in zip(members, places, strict=True)
    ]


def apart(first: Row, second: Row, order: Order = DEFAULT, limit: int = 1) -> bool:
    """Whether the test images tell two rows apart; `limit` as for `area_of`."""
    if order.kind == "accuracy":
        return _metrics_apart(first, second)
    if order.kind == "area":
        drawn = [_area_drawn(row, limit) for row in (first, second)]
        return _apart([drawn], area_of(first, limit) != area_of(second, limit))
    both = (first, second)
    if order.kind == "energy" or any(row.origin == OWN or row.until is not None for row in both):
        return _parity_apart(both, order)
    question = f"apart by parity, then {order.model}"
    return bool(
        kept_answers.answer(question, [row.records for row in both], lambda: _parity_apart(both, order))
    )


def _parity_apart(both: tuple[Row, Row], order: Order) -> bool:
    stated = [_parity(row, order) for row in both]
    known = all(row.resampled.is_known for row in both)
    if all(row.steps_within_1_point is None for row in both) and not known:
        return _metrics_apart(*both)
    return _apart(_keys_drawn(both, order), stated[0] != stated[1])


def _keys_drawn(rows: Sequence[Row], order: Order) -> Iterator[list[FloatArray | None]]:
    """What orders rows by parity or energy, on all draws: less is better, the first that differs decides."""
    for name in [STEPS, order.model] if order.kind == "parity" else [order.model]:
        yield [row.resampled.drawn(PARITY_POINTS, row.until, name) for row in rows]
    ends = [row.resampled.metric(row.until) for row in rows]
    yield [None if end is None else -end for end in ends]


def area_of(row: Row, limit: int) -> float:
    """Mean metric over T = 1, 2, 4, ... up to `limit`, each time of the last read-out within T, or else 0."""
    times = [point.t_total for point in row.curve if row.until is None or point.t_total <= row.final_t_total]
    shares = _weights(times, limit)
    return float(sum(share * p.metric for share, p in zip(shares, row.curve, strict=False)))


def _weights(times: Sequence[float], limit: int) -> list[float]:
    """How many of T = 1, 2, 4, ... each read-out answers for, as a share."""
    grid = [2**power for power in range(max(limit, 1).bit_length())]
    last = [max((i for i, time in enumerate(times) if time <= t), default=-1) for t in grid]
    return [last.count(index) / len(grid) for index in range(len(times))]


def _area_drawn(row: Row, limit: int) -> FloatArray | None:
    known, key = row.resampled.kept, ("area", row.until, limit)
    if key not in known:
        known[key] = _areas(row, limit)
    drawn: FloatArray | None = known[key]
    return drawn


def _areas(row: Row, limit: int) -> FloatArray | None:
    runs = row.resampled.metrics()
    if runs is None:
        return None
    areas = []
    for record, metrics in runs:
        times = sorted((p.t_total, p.t) for p in record.curve)
        kept = [time for time, _ in times if row.until is None or time <= row.final_t_total]
        weights = _weights(kept, limit)
        areas.append(-np.asarray(weights) @ metrics[: len(weights)])  # the most first, as fewest steps are
    shared = min(map(len, areas))
    mean: FloatArray = np.mean([each[:shared] for each in areas], axis=0)
    return mean


def _key(row: Row, order: Order, limit: int) -> tuple[float | str, ...]:
    if order.kind == "accuracy":
        return -row.metric, _or_infinite(row.steps_within_1_point), row.label
    if order.kind == "area":
        return -area_of(row, limit), row.label
    return *_parity(row, order), -row.metric, row.label


def _parity(row: Row, order: Order) -> tuple[float, ...]:
    cost = _or_infinite(row.energy_at_parity.get(order.model))
    return (cost,) if order.kind == "energy" else (_or_infinite(row.steps_within_1_point), cost)


def _or_infinite(value: float | None) -> float:
    return INFINITE if value is None else value


def _metrics_apart(first: Row, second: Row) -> bool:
    """By their metrics at their read-outs; known once it was asked, whatever the order is."""
    known, key = first.resampled.kept, ("apart from", id(second.resampled), first.until, second.until)
    if key not in known:
        known[key] = _metrics_told_apart(first, second)
    return bool(known[key])


def _metrics_told_apart(first: Row, second: Row) -> bool:
    difference = snn_minus_snn(second.records, first.records, (second.until, first.until))
    return first.metric != second.metric if difference is None else difference.excludes_zero


def _apart(keys: Iterable[Sequence[FloatArray | None]], as_stated: bool) -> bool:
    """Whether one of two rows is ahead on almost all draws.

    Args:
        keys: figures of both on the same draws, [R] each, the first that differs decides; less is better.
            No more of them are asked for than it takes to know.
        as_stated: the answer where nothing was drawn.
    """
    equal: BoolArray | None = None
    ahead = behind = draws = 0
    for one, other in keys:
        if one is None or other is None:
            if equal is None:
                return as_stated
            continue
        if equal is None:
            draws = min(len(one), len(other))
            equal = np.ones(draws, dtype=np.bool_)
        left, right = one[:draws], other[:draws]
        ahead += int(np.count_nonzero(equal & (left < right)))
        behind += int(np.count_nonzero(equal & (left > right)))
        equal &= left == right
        open_ = int(np.count_nonzero(equal))
        if max(ahead, behind) / draws >= AHEAD:
            return True
        if (max(ahead, behind) + open_) / draws < AHEAD:
            return False
    return as_stated if equal is None else False
