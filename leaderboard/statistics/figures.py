"""Figures derived from records: parity, relative energy, firing rate, paired differences.

Nothing here is stored. T is always `t_total`, every step the network ran, averaged over images; a
parameter called `t` names a read-out as the record does.
"""

from __future__ import annotations

from collections.abc import Sequence

import energy
from leaderboard.records.record import Point, Record
from leaderboard.scores.base import ImageScores
from leaderboard.statistics.intervals import Difference
from leaderboard.statistics.resampling import paired_difference

ROUNDING = 1e-7  # metrics may have been float32: 0.91 and 0.90 must count as 1 point apart, not more


def readouts(record: Record) -> list[Point]:
    """The measured points, fewest steps first."""
    return sorted(record.curve, key=lambda point: (point.t_total, point.t))


def final_point(record: Record) -> Point:
    """The read-out with the most steps."""
    return readouts(record)[-1]


def output_steps(point: Point) -> int:
    """How many output steps a read-out averages, T of most papers."""
    return point.t if point.averaged is None else point.averaged


def metric_at(record: Record, t: int) -> float:
    """The ranking metric (a fraction) at read-out `t`.

    Raises:
        ValueError: this read-out was not measured; lists those that were.
    """
    for point in record.curve:
        if point.t == t:
            return point.metrics[record.metric]
    measured = ", ".join(str(point.t) for point in readouts(record))
    raise ValueError(f"record {record.cell_id} has no read-out at t={t}; measured: {measured}")


def parity_point(record: Record, points: float, until: int | None = None) -> Point | None:
    """First read-out from which the metric stays within `points` of the ANN's.

    Args:
        record: the record.
        points: allowed loss in percentage points; being better than the ANN is always within.
        until: last read-out that counts; None: all.

    Returns:
        The read-out, or None if the last one is still further away.
    """
    floor = record.ann.metrics[record.metric] - points / 100 - ROUNDING
    reached: Point | None = None
    known = readouts(record)
    while until is not None and known and known[-1].t != until:
        known.pop()
    for point in reversed(known):
        if point.metrics[record.metric] < floor:
            break
        reached = point
    return reached


def time_steps_to_parity(record: Record, points: float, until: int | None = None) -> float | None:
    """Fewest measured steps (t_total) from which the metric stays within `points` of the ANN's.

    Only measured read-outs are known, so the true value may be smaller. None if never reached. `until` is
    the last read-out that counts; None: all.
    """
    point = parity_point(record, points, until)
    return None if point is None else point.t_total


def energy_ratio(record: Record, point: Point, model: str = energy.REFERENCE) -> float | None:
    """Energy an image up to `point`, as a multiple of the ANN's under the same energy model.

    None if the model has no figure for one of the two, or the ANN's is zero.
    """
    snn, ann = point.energy_pj.get(model), record.ann.energy_pj.get(model)
    return None if snn is None or not ann else snn / ann


def energy_at_parity(
    record: Record, points: float, model: str = energy.REFERENCE, until: int | None = None
) -> float | None:
    """Energy an image at parity within `points`, as a multiple of the ANN's under the same model.

    None if parity is never reached up to read-out `until`, or the model has no figure for one of the two.
    """
    point = parity_point(record, points, until)
    return None if point is None else energy_ratio(record, point, model)


def mean_firing_rate(record: Record, point: Point) -> float | None:
    """Spikes per neuron and step up to `point`, every neuron weighing the same.

    Pooling layers only pass spikes on and do not count. None if no neuron layer has a rate.
    """
    neurons = [s for s in record.sources if s.kind == "neuron" and s.name in point.rates]
    units = sum(source.units for source in neurons)
    if units == 0:
        return None
    return sum(point.rates[source.name] * source.units for source in neurons) / units


def snn_scores(record: Record, t: int | None = None) -> ImageScores | None:
    """Outcomes of the ranking metric at read-out `t` (None: the final one), if recorded."""
    outcomes = record.outcomes
    if outcomes is None or outcomes.measure != record.metric:
        return None
    encoded = outcomes.at.get(final_point(record).t if t is None else t)
    return None if encoded is None else outcomes.scores(encoded)


def ann_scores(record: Record) -> ImageScores | None:
    """Outcomes of the ANN under the ranking metric, if recorded."""
    outcomes = record.outcomes
    if outcomes is None or outcomes.measure != record.metric:
        return None
    return outcomes.scores(outcomes.ann)


def snn_minus_ann(records: Sequence[Record], t: int | None = None, *, seed: int = 0) -> Difference | None:
    """Paired difference of the spiking networks and their own ANNs, averaged over `records`.

    Args:
        records: one per seed, over the same test images.
        t: read-out; None takes each record's final one.
        seed: of the bootstrap.

    Returns:
        Difference as a fraction with 95 % bounds, or None if a record lacks the outcomes.

    Raises:
        ValueError: the records come from different test sets.
    """
    return _paired([snn_scores(r, t) for r in records], [ann_scores(r) for r in records], records, seed)


def snn_minus_snn(
    first: Sequence[Record],
    second: Sequence[Record],
    t: int | tuple[int | None, int | None] | None = None,
    *,
    seed: int = 0,
) -> Difference | None:
    """Paired difference of two spiking networks, each averaged over its records (one per seed).

    Arguments, result and errors are those of `snn_minus_ann`; `t` may be one read-out for each of the two.
    """
    left_t, right_t = t if isinstance(t, tuple) else (t, t)
    left, right = [snn_scores(r, left_t) for r in first], [snn_scores(r, right_t) for r in second]
    return _paired(left, right, [*first, *second], seed)


def _paired(
    first: Sequence[ImageScores | None],
    second: Sequence[ImageScores | None],
    records: Sequence[Record],
    seed: int,
) -> Difference | None:
    left = [scores for scores in first if scores is not None]
    right = [scores for scores in second if scores is not None]
    if not left or len(left) < len(first) or not right or len(right) < len(second):
        return None
    prints = {data["test"] for r in records if "test" in (data := r.provenance.data)}
    sizes = {scores.count for scores in [*left, *right]}
    if len(prints) > 1 or len(sizes) > 1:
        cells = ", ".join(sorted({record.cell_id for record in records}))
        raise ValueError(f"cells {cells} were measured on different test images and cannot be paired")
    return paired_difference(left, right, seed=seed)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other beats: lower cost, higher value.

    Args:
        points: (cost, value) pairs.

    Returns:
        Indices by rising cost; of equal points the first one stands for all.
    """
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i)):
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front
