"""What the page knows, as plain data for its script: one table of rows, and what a cell shows when opened.

Figures are rounded to what the page can show. Rows carry their curves, and where they stand under each
limit of T, so that nothing is computed anew in the browser. What only an opened cell shows (configuration,
provenance, layers) is in `details`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leaderboard.costs.order import models_of
from leaderboard.page.details import Attached, Data, details_of, packed, rounded
from leaderboard.published import PublishedCurve, beside
from leaderboard.published.pairing import Comparison
from leaderboard.published.table import published_steps
from leaderboard.ranking import wording
from leaderboard.ranking.boards import GROUPS, Board, at_limit, ties_of
from leaderboard.ranking.parity_intervals import Bounds, ResampledParity, is_cheap
from leaderboard.ranking.parity_ratios import parity_ratios
from leaderboard.ranking.rows import (
    CLOSE_PARITY_POINTS,
    PARITY_POINTS,
    CurvePoint,
    Row,
    curve_of,
    pooled_interval,
)
from leaderboard.statistics.energies import layer_energies
from leaderboard.statistics.figures import (
    final_point,
    mean_firing_rate,
    parity_point,
    snn_minus_ann,
)
from leaderboard.store.diagnoses import Diagnoses
from leaderboard.store.pictures import Pictures

ROWS_A_BLOCK = 20
PJ_PER_UJ = 1e6


def page_data(
    boards: Sequence[Board],
    published: Sequence[PublishedCurve] = (),
    pictures: Pictures | None = None,
    diagnoses: Diagnoses | None = None,
) -> tuple[Data, list[str]]:
    """Return the table of the page, and the blocks that rows refer to as [block, position].

    Args:
        boards: from `leaderboard.ranking.boards.rank`.
        published: figures of papers.
        pictures: of cells, from `leaderboard.store.pictures`.
        diagnoses: of cells, from `leaderboard.store.diagnoses`.
    """
    models = models_of(boards)
    details: list[Data] = []
    beside_records = Attached(pictures or {}, diagnoses or {})
    listed = [_board(board, models, published, beside_records, details) for board in boards]
    blocks = [packed(details[i : i + ROWS_A_BLOCK]) for i in range(0, len(details), ROWS_A_BLOCK)]
    groups = {group: wording.GROUP_TITLES[group].capitalize() for group in GROUPS}
    return {"models": models, "groups": groups, "boards": listed}, blocks


def limits_of(board: Board) -> list[int]:
    """Powers of two below the longest run of a board: the limits of T that make a difference."""
    times = [point.t for row in board.rows for point in curve_of(row)]
    return [2**k for k in range(31) if min(times, default=1) <= 2**k < max(times, default=1)]


def _board(
    board: Board,
    models: Sequence[str],
    published: Sequence[PublishedCurve],
    attached: Attached,
    details: list[Data],
) -> Data:
    limits = limits_of(board)
    stages = [{_key(row): row for row in at_limit([board], limit)[0].rows} for limit in limits]
    stages.append({_key(row): row for row in board.rows})
    sooner = {each.label: wording.sooner(each) for each in parity_ratios(board)}
    ties = ties_of(board)
    rows = []
    for row in board.rows:
        where = [len(details) // ROWS_A_BLOCK, len(details) % ROWS_A_BLOCK]
        details.append(details_of(row, attached) | {"ties": ties[row.label]})
        rows.append(
            _row(row, [stage.get(_key(row)) for stage in stages], models)
            | {"details": where, "sooner": sooner.get(row.label)}
        )
    return {
        "title": wording.plain(board.title),
        "task": board.task,
        "dataset": board.dataset,
        "network": board.network,
        "note": board.note,
        "metric": wording.metric_name(board.metric),
        "heading": wording.heading(board, in_full=True),
        "ann": None if board.ann_metric is None else rounded(100 * board.ann_metric, 6),
        "annEnergy": [_micro(board.ann_energy_pj.get(model)) for model in models],
        "limits": limits,
        "rows": rows,
        "published": [_published(each) for each in beside(board, published)],
    }


def _row(row: Row, stages: Sequence[Row | None], models: Sequence[str]) -> Data:
    curve = curve_of(row)
    cheap = is_cheap(row.records)
    parity = ResampledParity(row.records)
    position = {point.readout: index for index, point in enumerate(curve)}
    ann = [record.ann.energy_pj for record in row.records]
    return {
        "id": _key(row),
        "label": wording.plain(row.label),
        "method": row.method,
        "group": row.group,
        "alphabet": row.alphabet,
        "spikes": wording.spikes(row),
        "untouched": row.records[0].method.ann_untouched,
        "seeds": len(row.records),
        "std": None if row.metric_std is None else rounded(100 * row.metric_std),
        "ann": rounded(100 * row.ann_metric, 6),
        "ownAnn": row.own_ann,
        "annEnergy": [_micro(_mean([each.get(model) for each in ann])) for model in models],
        "curve": [
            _point(row, point, models, bounded=cheap or index == len(curve) - 1)
            for index, point in enumerate(curve)
        ],
        "at": [None if stage is None else _stage(stage, position, models, parity) for stage in stages],
        "layers": _energy_of_layers(row, models),
    }


def _point(row: Row, point: CurvePoint, models: Sequence[str], *, bounded: bool) -> list[Any]:
    """Figures at one read-out, in the order that curve.js names them."""
    interval = pooled_interval(row.records, point.readout) if bounded else None
    gap = snn_minus_ann(row.records, point.readout) if bounded else None
    return [
        point.readout,
        rounded(point.t),
        rounded(point.averaged),
        rounded(100 * point.metric, 6),
        *([None] * 2 if interval is None else [rounded(100 * interval.low), rounded(100 * interval.high)]),
        rounded(100 * (point.metric - row.ann_metric), 6),
        *([None] * 2 if gap is None else [rounded(100 * gap.low), rounded(100 * gap.high)]),
        rounded(point.kl),
        rounded(point.synops),
        rounded(_rate_at(row, point.readout)),
        [_micro(point.energy_pj.get(model)) for model in models],
    ]


def _stage(
    stage: Row, position: Mapping[int, int], models: Sequence[str], parity: ResampledParity
) -> list[Any]:
    """Where a row stands under one limit: point of its curve, rank, tie, T to parity, energy at parity.

    And last, the bounds of these: of T to both parities, and of the energy under each model.
    """
    one, half = (parity.interval(points, stage.until) for points in (PARITY_POINTS, CLOSE_PARITY_POINTS))
    energies = {} if one is None else one.energy
    return [
        len(position) - 1 if stage.until is None else position[stage.until],
        stage.rank,
        int(stage.ties_first),
        rounded(stage.steps_within_1_point),
        rounded(stage.steps_within_half_point),
        [rounded(stage.energy_at_parity.get(model), 3) for model in models],
        [
            *(None if found is None else _bounds(found.steps) for found in (one, half)),
            [_bounds(energies[model]) if model in energies else None for model in models],
        ],
    ]


def _bounds(bounds: Bounds) -> list[float | None]:
    return [rounded(bounds.low, 3), rounded(bounds.high, 3)]


def _energy_of_layers(row: Row, models: Sequence[str]) -> Data | None:
    """Energy of each layer (µJ) at parity, or at the end where there is none; mean over runs."""
    points = [parity_point(r, PARITY_POINTS) or final_point(r) for r in row.records]
    runs = [
        {model: layer_energies(record, point, model) for model in models}
        for record, point in zip(row.records, points, strict=True)
    ]
    known = {model: [found for run in runs if (found := run[model])] for model in models}
    names = list(dict.fromkeys(name for found in known.values() for each in found for name in each))
    if not names:
        return None
    return {
        "t": rounded(_mean([float(point.t_total) for point in points])),
        "parity": all(parity_point(r, PARITY_POINTS) is not None for r in row.records),
        "names": [wording.plain(name) for name in names],
        "energy": [
            [_micro(_mean([each.get(name, 0.0) for each in known[model]])) for name in names]
            if len(known[model]) == len(runs)
            else None
            for model in models
        ],
    }


def _published(each: Comparison) -> Data:
    curve = each.curve
    return {
        "label": wording.plain(curve.label),
        "recipe": curve.recipe,
        "group": curve.group,
        "t": published_steps(curve, each.t),
        "metric": each.metric,
        "ann": curve.ann,
        "gap": rounded(curve.gap(each.t)),
        "here": None if each.measured is None else rounded(100 * each.measured.metric, 6),
        "gapHere": rounded(each.measured_gap),
        "evidence": curve.evidence,
        "paper": curve.paper,
        "source": "; ".join(filter(None, [curve.source, curve.note])),
    }


def _rate_at(row: Row, readout: int) -> float | None:
    rates = []
    for record in row.records:
        point = next(point for point in record.curve if point.t == readout)
        rates.append(mean_firing_rate(record, point))
    return _mean(rates)


def _key(row: Row) -> str:
    return row.records[0].cell_id


def _micro(picojoules: float | None) -> float | None:
    return None if picojoules is None else rounded(picojoules / PJ_PER_UJ)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) and known else None
