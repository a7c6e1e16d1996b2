"""One line of a ranking: the runs of one recipe that differ only by seed, pooled.

Pooling rules, the same for every recipe:
- metric: mean over runs, with the sample standard deviation if there is more than one run;
- interval: Wilson's, of the mean metric over one test set. Runs share their images, so more seeds do
  not make it narrower; how far seeds spread is what the standard deviation says;
- gap: mean of each run's metric minus its own ANN's, bounds from the paired bootstrap over images;
- parity: computed per run, then the median; None as soon as one run never reaches it, because a
  median over the lucky runs would flatter the recipe;
- final energy ratio and firing rate: mean over runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leaderboard.intervals import Interval, wilson_interval
from leaderboard.records import Alphabet, Group, Record
from leaderboard.statistics import (
    OPERATIONS,
    energy_at_parity,
    energy_ratio,
    final_point,
    mean_firing_rate,
    readouts,
    snn_minus_ann,
    time_steps_to_parity,
)

PARITY_POINTS = 1.0  # percentage points below the ANN at which energy is compared
CLOSE_PARITY_POINTS = 0.5


@dataclass(frozen=True)
class CurvePoint:
    """One readout of a row, averaged over its runs."""

    t: int  # every step run, t_total
    metric: float  # fraction
    energy_pj: float | None  # an image, operations model


@dataclass(frozen=True)
class Row:
    """One recipe on one board, pooled over seeds; fractions unless a name says points."""

    label: str
    method: str
    group: Group
    alphabet: Alphabet
    max_per_step: int
    seeds: tuple[int, ...]
    final_t: int  # every step run, t_total
    metric: float
    metric_std: float | None  # None for a single run
    interval: Interval | None  # 95 %; None if the metric is not a proportion of images
    ann_metric: float  # of the network this recipe started from
    gap_points: float  # metric minus ann_metric, percentage points
    gap_interval: Interval | None  # 95 %, percentage points
    steps_within_1_point: float | None
    steps_within_half_point: float | None
    energy_at_parity: float | None  # at 1 point, operations model, multiple of the ANN's
    energy_at_parity_by_model: dict[str, float | None]
    final_energy_ratio: float | None  # operations model, multiple of the ANN's
    firing_rate: float | None  # spikes per neuron and step at the final readout
    records: tuple[Record, ...]
    rank: int | None = None  # within the group, from 1; None for a baseline
    ties_first: bool = False  # the test set does not tell it from the first of its group
    own_ann: bool = False  # started from another network than the board's ANN


def pool_by_seed(records: Iterable[Record]) -> list[list[Record]]:
    """Sort records into pools that differ by nothing but seed.

    Two records share a pool if their recipes and their configurations are equal once every entry
    called "seed", at any depth, is left out.
    """
    pools: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.seed, r.cell_id)):
        same = _without_seed([record.method.model_dump(mode="json"), record.config])
        pools.setdefault(json.dumps(same, sort_keys=True, default=str), []).append(record)
    return list(pools.values())


def row_of(pool: Sequence[Record]) -> Row:
    """Summarise one pool; the module docstring has the rules."""
    first = pool[0]
    finals = [final_point(record) for record in pool]
    metrics = [point.metrics[record.metric] for point, record in zip(finals, pool, strict=True)]
    metric, ann_metric = _mean(metrics), _mean([record.ann.metrics[record.metric] for record in pool])
    gap = snn_minus_ann(pool)
    models = sorted({model for record in pool for model in record.ann.energy_pj})
    by_model = {m: _median([energy_at_parity(r, PARITY_POINTS, m) for r in pool]) for m in models}
    return Row(
        label=first.method.label,
        method=first.method.name,
        group=first.method.group,
        alphabet=first.method.alphabet,
        max_per_step=first.method.max_per_step,
        seeds=tuple(sorted({record.seed for record in pool})),
        final_t=max(point.t_total for point in finals),
        metric=metric,
        metric_std=float(np.std(metrics, ddof=1)) if len(pool) > 1 else None,
        interval=_interval(metric, first),
        ann_metric=ann_metric,
        gap_points=100 * (metric - ann_metric),
        gap_interval=None if gap is None else Interval(100 * gap.low, 100 * gap.high),
        steps_within_1_point=_median([time_steps_to_parity(r, PARITY_POINTS) for r in pool]),
        steps_within_half_point=_median([time_steps_to_parity(r, CLOSE_PARITY_POINTS) for r in pool]),
        energy_at_parity=by_model.get(OPERATIONS),
        energy_at_parity_by_model=by_model,
        final_energy_ratio=_mean_or_none([energy_ratio(r, p) for r, p in zip(pool, finals, strict=True)]),
        firing_rate=_mean_or_none([mean_firing_rate(r, p) for r, p in zip(pool, finals, strict=True)]),
        records=tuple(pool),
    )


def curve_of(row: Row) -> list[CurvePoint]:
    """Metric and energy at every readout that all runs of the row share, fewest steps first."""
    runs = [{point.t_total: point for point in readouts(record)} for record in row.records]
    shared = sorted(set(runs[0]).intersection(*runs[1:]))
    curve = []
    for t in shared:
        metrics = [run[t].metrics[r.metric] for run, r in zip(runs, row.records, strict=True)]
        energy = _mean_or_none([run[t].energy_pj.get(OPERATIONS) for run in runs])
        curve.append(CurvePoint(t, _mean(metrics), energy))
    return curve


def _interval(metric: float, record: Record) -> Interval | None:
    outcomes = record.outcomes
    if outcomes is None or outcomes.measure != record.metric:
        return None
    return wilson_interval(metric, outcomes.count)


def _without_seed(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_seed(entry) for key, entry in value.items() if key != "seed"}
    if isinstance(value, list | tuple):
        return [_without_seed(entry) for entry in value]
    return value


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if len(known) == len(values) else None


def _median(values: Sequence[float | None]) -> float | None:
    """Median over runs, None if any run lacks the figure."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) == len(values) else None
