"""One line of a ranking: the runs of one recipe that differ only by seed, pooled.

Pooling rules, the same for every recipe:
- metric: mean over runs, with the sample standard deviation if there is more than one run;
- interval: Wilson's of the mean metric over one test set, or by resampling images where the metric is no
  proportion of images. Runs share their images, so more seeds do not make it narrower; how far seeds
  spread is what the standard deviation says;
- gap: mean of each run's metric minus its own ANN's, bounds from the paired bootstrap over images;
- parity: computed per run, then the median; None as soon as one run never reaches it, because a
  median over the lucky runs would flatter the recipe;
- final time steps, energy ratio and firing rate: mean over runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import fsum
from statistics import median
from typing import Any

import numpy as np

from leaderboard.ranking import kept_answers
from leaderboard.ranking.families import OWN, Origin
from leaderboard.ranking.parity_intervals import ResampledParity
from leaderboard.ranking.shared_gaps import SharedGaps
from leaderboard.records.record import Alphabet, Group, Record
from leaderboard.statistics.figures import (
    energy_ratio,
    final_point,
    mean_firing_rate,
    output_steps,
    parity_point,
    snn_minus_ann,
    snn_scores,
)
from leaderboard.statistics.intervals import Interval
from leaderboard.statistics.resampling import metric_interval

VERDICTS = ("spiking", "with analog reductions", "hybrid")  # less and less of the network spikes
DIVERGENCE = "kl"  # metric: Kullback-Leibler divergence from the ANN's outputs, nats
PARITY_POINTS = 1.0  # percentage points below the ANN at which energy is compared
CLOSE_PARITY_POINTS = 0.5
_FITTED = ("scale", "initial", "correction", "allocation")  # parts of a recipe that may have to know T
_SEED = '"seed": '  # in JSON; a quote inside a text stands behind a backslash
_NUMBER = re.compile(r"-?\d+(?![\d.eE])(, )?")


@dataclass(frozen=True)
class PooledPoint:
    """One read-out of a row, averaged over its runs; names are those of a record's points."""

    t: int  # the read-out
    t_total: float  # every step run
    averaged: float  # output steps averaged
    metric: float  # fraction
    kl: float | None  # divergence from the ANN's outputs, nats
    energy_pj: dict[str, float]  # energy model -> picojoules an image
    synops: float  # synaptic operations an image
    rate: float | None  # spikes per neuron and step


@dataclass(frozen=True)
class Row:
    """One recipe on one board, pooled over seeds; fractions unless a name says points."""

    label: str
    method: str
    group: Group
    alphabet: Alphabet
    max_per_step: int
    seeds: tuple[int, ...]
    final_t_total: float  # every step run up to the final read-out
    final_averaged: float  # output steps averaged there, T of most papers
    metric: float
    metric_std: float | None  # None for a single run
    ann_metric: float  # of the network this recipe started from
    gap_points: float  # metric minus ann_metric, percentage points
    steps_within_1_point: float | None
    steps_within_half_point: float | None
    energy_at_parity: dict[str, float | None]  # energy model -> multiple of the ANN's, at 1 point
    final_energy: dict[str, float | None]  # energy model -> multiple of the ANN's, at the final read-out
    firing_rate: float | None  # spikes per neuron and step at the final read-out
    synops: float  # synaptic operations an image up to the final read-out
    records: tuple[Record, ...]
    rank: int | None = None  # within the group, from 1, shared by ties; None for a baseline
    tied: bool = False  # another row shares its rank
    own_ann: bool = False  # started from another network than the board's ANN
    until: int | None = None  # read-out that the figures stand at; None: each run's last
    origin: Origin = OWN  # where the records come from
    resampled: ResampledParity = field(
        default_factory=lambda: ResampledParity(()), compare=False, repr=False
    )  # parity on resampled test images, shared by all limits of time steps

    @property
    def division(self) -> str:
        """`closed`: converted from the board's network as it is; `open`: trained anew, or for conversion."""
        return "open" if self.own_ann or not self.records[0].method.ann_untouched else "closed"

    @property
    def verdict(self) -> str | None:
        """How much of the network spikes: of several runs the least; None where a record does not say."""
        found = [record.provenance.verdict for record in self.records]
        return max(found, key=lambda one: VERDICTS.index(one) if one else len(VERDICTS))

    @property
    def backends(self) -> str:
        """Who simulated it, and the precision of weights: "compiled, int8"."""
        return " / ".join(
            dict.fromkeys(
                f"{r.provenance.backend or 'unknown'}, {r.provenance.precision}" for r in self.records
            )
        )

    @property
    def one_network_for_each_t(self) -> bool:
        """Whether the curve is that of several networks, each fitted for the T that it is read out at."""
        return _fitted_for_t(self.records[0].method.parts)

    @property
    def seconds_to_convert(self) -> float | None:
        """Mean over runs; None where a record does not say."""
        return _mean_or_none([record.provenance.wall_time_s.get("convert") for record in self.records])

    @property
    def interval(self) -> Interval | None:
        """Of `metric`, 95 %; None if outcomes were not recorded."""
        kept, key = self.resampled.kept, ("interval", self.until)
        if key not in kept:
            kept[key] = self._interval()
        found: Interval | None = kept[key]
        return found

    def _interval(self) -> Interval | None:
        if self.origin == OWN or self.until is not None:
            return pooled_interval(self.records, self.until)

        def ends() -> list[float]:
            found = pooled_interval(self.records)
            return [] if found is None else [found.low, found.high]

        known = kept_answers.answer("interval", [self.records], ends)
        return Interval(*known) if isinstance(known, list) and known else None

    @cached_property
    def gap_interval(self) -> Interval | None:
        """Of `gap_points`, 95 %, percentage points; None if outcomes were not recorded."""
        gap = snn_minus_ann(self.records, self.until)
        return None if gap is None else Interval(100 * gap.low, 100 * gap.high)

    def within(self, t: float) -> PooledPoint | None:
        """The last read-out for which no more than t steps were run."""
        return next((point for point in reversed(self.curve) if point.t_total <= t), None)

    @property
    def curve(self) -> list[PooledPoint]:
        """Every read-out that all runs of the row share, fewest steps first."""
        kept = self.resampled.kept
        if "curve" not in kept:
            kept["curve"] = _curve(self.records)
        found: list[PooledPoint] = kept["curve"]
        return found


def pool_by_seed(records: Iterable[Record]) -> list[list[Record]]:
    """Sort records into pools that differ by nothing but seed.

    Two records share a pool if their recipes and their configurations are equal once every entry
    called "seed", at any depth, is left out.
    """
    pools: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.seed, r.cell_id)):
        pools.setdefault(_identity(record), []).append(record)
    return list(pools.values())


def row_of(
    pool: Sequence[Record],
    until: int | None = None,
    resampled: ResampledParity | None = None,
    shared: SharedGaps | None = None,
) -> Row:
    """Summarise one pool; the module docstring has the rules.

    Args:
        pool: records that differ by nothing but seed.
        until: the read-out that takes the place of the final one, in every record; None: each one's last.
        resampled: of the same pool, where there is one already.
        shared: gaps of the pool and of others on its board.
    """
    first = pool[0]
    finals = [final_point(r) if until is None else next(p for p in r.curve if p.t == until) for r in pool]
    metrics = [point.metrics[record.metric] for point, record in zip(finals, pool, strict=True)]
    metric, ann_metric = _mean(metrics), _mean([record.ann.metrics[record.metric] for record in pool])
    models = sorted({model for record in pool for model in record.ann.energy_pj})
    ends = list(zip(pool, finals, strict=True))
    near, nearer = (
        [(record, parity_point(record, points, until)) for record in pool]
        for points in (PARITY_POINTS, CLOSE_PARITY_POINTS)
    )
    return Row(
        label=first.method.label,
        method=first.method.name,
        group=first.method.group,
        alphabet=first.method.alphabet,
        max_per_step=first.method.max_per_step,
        seeds=tuple(sorted({record.seed for record in pool})),
        final_t_total=_mean([point.t_total for point in finals]),
        final_averaged=_mean([output_steps(point) for point in finals]),
        metric=metric,
        metric_std=float(np.std(metrics, ddof=1)) if len(pool) > 1 else None,
        ann_metric=ann_metric,
        gap_points=100 * (metric - ann_metric),
        steps_within_1_point=median_over_runs([None if p is None else p.t_total for _, p in near]),
        steps_within_half_point=median_over_runs([None if p is None else p.t_total for _, p in nearer]),
        energy_at_parity={
            m: median_over_runs([None if p is None else energy_ratio(r, p, m) for r, p in near])
            for m in models
        },
        final_energy={m: _mean_or_none([energy_ratio(r, p, m) for r, p in ends]) for m in models},
        firing_rate=_mean_or_none([mean_firing_rate(r, p) for r, p in ends]),
        synops=_mean([sum(point.synops.values()) for point in finals]),
        records=tuple(pool),
        until=until,
        resampled=resampled or ResampledParity(pool, shared),
    )


def _curve(records: Sequence[Record]) -> list[PooledPoint]:
    runs = [{point.t: point for point in record.curve} for record in records]
    metric = records[0].metric
    curve = []
    for t in set(runs[0]).intersection(*runs[1:]):
        points = [run[t] for run in runs]
        models = set.intersection(*(set(point.energy_pj) for point in points))
        curve.append(
            PooledPoint(
                t=t,
                t_total=_mean([point.t_total for point in points]),
                averaged=_mean([output_steps(point) for point in points]),
                metric=_mean([point.metrics[metric] for point in points]),
                kl=_mean_or_none([point.metrics.get(DIVERGENCE) for point in points]),
                energy_pj={m: _mean([point.energy_pj[m] for point in points]) for m in sorted(models)},
                synops=_mean([sum(point.synops.values()) for point in points]),
                rate=_mean_or_none([mean_firing_rate(*each) for each in zip(records, points, strict=True)]),
            )
        )
    return sorted(curve, key=lambda point: (point.t_total, point.t))


def last_within(row: Row, limit: float) -> int | None:
    """The last read-out for which no more than `limit` steps were run, in the mean over runs."""
    return max(((p.t_total, p.t) for p in row.curve if p.t_total <= limit), default=(0.0, None))[1]


def pooled_interval(pool: Sequence[Record], until: int | None = None) -> Interval | None:
    """95 % interval of the mean metric at a read-out (None: each one's last), if outcomes were recorded."""
    scores = [found for record in pool if (found := snn_scores(record, until)) is not None]
    return metric_interval(scores) if len(scores) == len(pool) else None


def _identity(record: Record) -> str:
    """Recipe and configuration as JSON, without any entry called "seed"."""
    said = [vars(record.method), record.config]
    first, *others = json.dumps(said, sort_keys=True, default=str).split(_SEED)
    text = first
    for part in others:
        number = _NUMBER.match(part)
        if number is None or text.endswith("\\"):  # no whole number, or a text that says so: rare
            return json.dumps(_without_seed(said), sort_keys=True, default=str)
        if number[1] is None:  # the last of its object: the comma before it goes
            text = text.removesuffix(", ")
        text += part[number.end() :]
    return text


def _without_seed(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_seed(entry) for key, entry in value.items() if key != "seed"}
    if isinstance(value, list | tuple):
        return [_without_seed(entry) for entry in value]
    return value


def _fitted_for_t(parts: Mapping[str, Any]) -> bool:
    """Parts that depend on T say for which one they were given; those that were not are fitted for each T."""
    found = [part for kind in _FITTED if isinstance(part := parts.get(kind), dict)]
    open_ = [
        part for part in found if "time_steps" in part and not part["time_steps"] and not part.get("levels")
    ]
    return bool(open_) or any(part.get("name") == "shift" for part in found)


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if len(known) == len(values) else None


def median_over_runs(values: Sequence[float | None]) -> float | None:
    """Median over runs, None if any run lacks the figure."""
    known = [value for value in values if value is not None]
    return float(median(known)) if len(known) == len(values) else None
