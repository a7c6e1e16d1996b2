"""What the page knows, as plain data for its script: one table of rows, and what a cell shows when opened.

Figures are rounded to what the page can show, and listed as `shapes` says. Rows carry their curves, and where
they stand under each limit of T, so that nothing is computed anew in the browser. What only an opened cell
shows (configuration, provenance, layers) is in `details`.
"""

from __future__ import annotations

from collections.abc import Sequence

from leaderboard.costs.order import MATCHED, models_of
from leaderboard.costs.precision import charged_bits, measured_bits
from leaderboard.page.details import Attached, Data, details_of, in_percent, packed, rounded
from leaderboard.page.marks import marks_of
from leaderboard.page.shapes import SHAPES, PagePoint, PageStanding
from leaderboard.page.stages import Stage, key_of
from leaderboard.published import PublishedCurve, beside
from leaderboard.published.pairing import Comparison
from leaderboard.published.table import published_steps
from leaderboard.ranking import wording
from leaderboard.ranking.boards import GROUPS, Board, at_limit, ties_of
from leaderboard.ranking.orders import KINDS, Order
from leaderboard.ranking.parity_intervals import is_cheap
from leaderboard.ranking.parity_ratios import parity_ratios
from leaderboard.ranking.rows import (
    PARITY_POINTS,
    PooledPoint,
    Row,
    pooled_interval,
)
from leaderboard.reference.agreement import Reproductions
from leaderboard.statistics.energies import layer_energies, network_of
from leaderboard.statistics.figures import (
    final_point,
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
    reproductions: Reproductions | None = None,
) -> tuple[Data, list[str]]:
    """Return the table of the page, and the blocks that rows refer to by block and place in it.

    Args:
        boards: from `leaderboard.ranking.boards.rank`.
        published: figures of papers.
        pictures: of cells, from `leaderboard.store.pictures`.
        diagnoses: of cells, from `leaderboard.store.diagnoses`.
        reproductions: of cells, from `leaderboard.reference.agreement`.
    """
    models = models_of(boards)
    details: list[Data] = []
    beside_records = Attached(pictures or {}, diagnoses or {}, reproductions or {})
    orders = [Order(kind) for kind in KINDS if kind != "energy"] + [Order("energy", m) for m in models]
    listed = [_board(board, models, orders, published, beside_records, details) for board in boards]
    blocks = [packed(details[i : i + ROWS_A_BLOCK]) for i in range(0, len(details), ROWS_A_BLOCK)]
    groups = {group: wording.GROUP_TITLES[group].capitalize() for group in GROUPS}
    beside = MATCHED if MATCHED in models else models[min(1, len(models) - 1)]
    table = {
        "models": models,
        "orders": [f"energy:{each.model}" if each.kind == "energy" else each.kind for each in orders],
        "beside": beside,
        "chargedBits": {model: charged_bits(model) for model in models},
        "groups": groups,
        "shapes": SHAPES,
        "boards": listed,
    }
    return table, blocks


def limits_of(board: Board) -> list[int]:
    """Powers of two below the longest run of a board: the limits of T that make a difference."""
    times = [point.t_total for row in board.rows for point in row.curve]
    return [2**k for k in range(31) if min(times, default=1) <= 2**k < max(times, default=1)]


def _board(
    board: Board,
    models: Sequence[str],
    orders: Sequence[Order],
    published: Sequence[PublishedCurve],
    attached: Attached,
    details: list[Data],
) -> Data:
    limits = limits_of(board)
    # Stages rank rows themselves, so that nobody has to before.
    stages = [Stage.of(at_limit([board], limit, leaders=True)[0], orders, limit) for limit in limits]
    stages.append(Stage.of(board, orders, None))
    ratios = {each.label: str(each) for each in parity_ratios(board)}
    ties = ties_of(board)
    among = {row.origin for row in board.rows} not in ({"own"}, {"reference"})
    rows = []
    for row in board.rows:
        block, place = divmod(len(details), ROWS_A_BLOCK)
        details.append(details_of(row, attached) | {"ties": ties[row.label]})
        rows.append(
            _row(row, [stage.standing(row, models) for stage in stages], models)
            | marks_of(row, attached.reproductions, says_origin=among)
            | {"details": {"block": block, "place": place}, "parityRatio": ratios.get(row.label)}
        )
    return {
        "title": wording.plain(board.title),
        "task": board.task,
        "dataset": board.dataset,
        "network": board.network,
        "note": board.note,
        "metric": wording.metric_name(board.metric),
        "heading": wording.heading(board, in_full=True),
        "ann": in_percent(board.ann_metric),
        "annEnergy": {model: _micro(board.ann_energy_pj.get(model)) for model in models},
        "limits": limits,
        "winners": [stage.winners for stage in stages],
        "rows": rows,
        "published": [_published(each) for each in beside(board, published)],
    }


def _row(row: Row, standings: Sequence[PageStanding | None], models: Sequence[str]) -> Data:
    cheap = is_cheap(row.records)
    last = row.curve[-1]
    return {
        "id": key_of(row),
        "label": wording.plain(row.label),
        "method": row.method,
        "group": row.group,
        "alphabet": row.alphabet,
        "spikes": wording.spikes(row),
        "seeds": len(row.records),
        "weightBits": measured_bits(row),
        "std": in_percent(row.metric_std),
        "ann": in_percent(row.ann_metric),
        "ownAnn": row.own_ann,
        "curve": [_point(row, point, models, bounded=cheap or point is last).listed() for point in row.curve],
        "at": [None if standing is None else standing.listed() for standing in standings],
        "layers": _energy_of_layers(row, models),
    }


def _point(row: Row, point: PooledPoint, models: Sequence[str], *, bounded: bool) -> PagePoint:
    """Figures at one read-out."""
    interval = pooled_interval(row.records, point.t) if bounded else None
    gap = snn_minus_ann(row.records, point.t) if bounded else None
    return PagePoint(
        t=point.t,
        t_total=rounded(point.t_total, 4, wording.time_steps),
        averaged=rounded(point.averaged, 4, wording.time_steps),
        metric=in_percent(point.metric),
        low=None if interval is None else in_percent(interval.low),
        high=None if interval is None else in_percent(interval.high),
        gap=in_percent(point.metric - row.ann_metric),
        gap_low=None if gap is None else in_percent(gap.low),
        gap_high=None if gap is None else in_percent(gap.high),
        kl=rounded(point.kl),
        synops=rounded(point.synops),
        rate=rounded(point.rate, 4, wording.rate),
        energy=[_micro(point.energy_pj.get(model)) for model in models],
    )


def _energy_of_layers(row: Row, models: Sequence[str]) -> Data | None:
    """Energy of each layer (µJ) of the first run, at parity or at the end where there is none."""
    record = row.records[0]
    reached = parity_point(record, PARITY_POINTS)
    point = reached or final_point(record)
    network = network_of(record)
    known = {model: found for model in models if (found := layer_energies(record, point, model, network))}
    names = list(dict.fromkeys(name for found in known.values() for name in found))
    if not names:
        return None
    return {
        "t": rounded(point.t_total, 4, wording.time_steps),
        "parity": reached is not None,
        "names": [wording.plain(name) for name in names],
        "energy": {model: [_micro(found.get(name, 0.0)) for name in names] for model, found in known.items()},
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
        "gap": rounded(curve.gap(each.t), 4, wording.points),
        "here": None if each.measured is None else in_percent(each.measured.metric),
        "gapHere": rounded(each.measured_gap, 4, wording.points),
        "evidence": curve.evidence,
        "paper": curve.paper,
        "source": "; ".join(filter(None, [curve.source, curve.note])),
    }


def _micro(picojoules: float | None) -> float | None:
    return None if picojoules is None else rounded(picojoules / PJ_PER_UJ)
