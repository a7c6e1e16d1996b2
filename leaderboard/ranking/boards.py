"""Boards: who is best at converting this network on this data set.

One board per task, data set and network. What must not be compared is kept apart:

- Groups. Binary spikes, several spikes a step, and retrained networks answer different questions, so
  ranks count within a group. The bit-matched quantised ANN stands last, as the reference that an
  energy claim has to beat, and has no rank.
- Test sets. Records measured on different test images go to different boards.
- Versions of the benchmark. Their figures do not mean the same.
- Networks. If recipes that leave the ANN untouched started from different checkpoints for the same
  seed, somebody trained the ANN twice. A difference between recipes could then be one between
  networks, and for other seeds nobody can tell which checkpoints belong together, so every checkpoint
  gets its own board. A retrained recipe has its own checkpoint by nature; it stays on the board,
  its gap is measured against its own ANN, and the row is marked (`Row.own_ann`).

Such boards say in `Board.note` why they stand alone; `leaderboard.ranking.families` sorts records into them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from leaderboard.ranking import glance, wording
from leaderboard.ranking.families import Family, Origin, differ_by_seed, families, origin_of
from leaderboard.ranking.orders import DEFAULT, Order, ranked
from leaderboard.ranking.rows import Row, last_within, pool_by_seed, row_of
from leaderboard.ranking.shared_gaps import SharedGaps
from leaderboard.records.record import Group, Record
from leaderboard.statistics.figures import snn_minus_snn

GROUPS: tuple[Group, ...] = ("binary", "multi-level", "retrained", "baseline")


@dataclass(frozen=True)
class Board:
    """The ranking of one network on one data set."""

    task: str
    dataset: str
    network: str
    metric: str
    note: str  # why this board stands apart from another of the same name; usually empty
    images: int | None  # test images, if outcomes were recorded
    ann_metric: float | None  # fraction, mean over seeds; None if no ANN is common to the rows
    ann_metric_std: float | None
    ann_energy_pj: dict[str, float]  # energy model -> picojoules an image, mean over seeds
    rows: tuple[Row, ...]  # by group, then best first
    benchmark_version: int = 1

    @property
    def title(self) -> str:
        """Data set, network and task, with the note if there is one."""
        name = f"{self.dataset} · {self.network} ({self.task})"
        return f"{name}, {self.note}" if self.note else name

    def _repr_html_(self) -> str:
        heading = wording.heading(self, in_full=True)
        return glance.as_html(self.title, heading, self.metric, self.rows)


def rank(
    records: Iterable[Record],
    origins: Mapping[str, Origin] | None = None,
    order: Order = DEFAULT,
    *,
    leaders: bool = False,
) -> list[Board]:
    """Rank every record; of several records of one cell the newest stands, one's own before all.

    Args:
        records: one's own and references.
        origins: cell id -> where its record comes from, from `leaderboard.reference`; others are one's own.
        order: what ranks the rows of a group.
        leaders: rank the first two rows of a group alone, as `orders.ranked` does.

    Returns:
        Boards by task, data set, network. Rows by group (binary, multi-level, retrained, baseline), then in
        the order that was asked for.
    """
    known = origins or {}
    newest: dict[str, Record] = {}
    for record in sorted(records, key=lambda r: r.provenance.created):
        newest[record.cell_id] = record
    return [_board(family, known, order, leaders) for family in families(newest.values(), known)]


def ordered_by(boards: Iterable[Board], order: Order, limit: float | None = None) -> list[Board]:
    """The same boards with rows ranked by something else; `limit`: of time steps, that the rows are at."""
    return [replace(board, rows=_in_groups(board.rows, order, _longest(board, limit))) for board in boards]


def _longest(board: Board, limit: float | None) -> int:
    return longest_of(board) if limit is None else max(1, int(limit))


def longest_of(board: Board) -> int:
    """Most steps that any row of a board was run, up to its read-out."""
    return max((int(row.final_t_total) for row in board.rows), default=1)


def only_groups(boards: Iterable[Board], groups: Collection[Group]) -> list[Board]:
    """Boards with the rows of these groups alone; ranks, which count within a group, stay as they were.

    Boards without such a row are left out. No groups stand for all of them.
    """
    kept = set(groups or GROUPS)
    return _only(boards, lambda row: row.group in kept)


def only_recipe(boards: Iterable[Board], name: str) -> list[Board]:
    """Boards with the rows of one recipe alone, whatever its parameters; the others are left out."""
    return _only(boards, lambda row: row.method == name)


def at_limit(
    boards: Iterable[Board], limit: float | None, order: Order = DEFAULT, *, leaders: bool = False
) -> list[Board]:
    """Boards as they stand when no network may run more than `limit` time steps; None: no limit.

    Every row is read out at its last read-out within the limit, and ranked anew in `order`; rows without one
    are left out. Without a limit, boards stay as they are. `leaders`: as for `rank`.
    """
    if limit is None:
        return list(boards)
    limited = []
    for board in boards:
        rows = []
        for row in board.rows:
            until = last_within(row, limit)
            if until is not None:
                shorter = row_of(row.records, until, row.resampled)
                rows.append(replace(shorter, label=row.label, own_ann=row.own_ann, origin=row.origin))
        if rows:
            limited.append(replace(board, rows=_in_groups(rows, order, _longest(board, limit), leaders)))
    return limited


def ties_of(board: Board) -> dict[str, list[str] | None]:
    """Of each row, the labels of its group that the test images do not tell from it, best first.

    None where nothing is known of the row's images, and for baselines.
    """
    tied: dict[str, list[str] | None] = {
        row.label: None if row.rank is None or row.interval is None else [] for row in board.rows
    }
    for group in GROUPS:
        members = [row for row in board.rows if row.group == group and tied[row.label] is not None]
        for first, second in combinations(members, 2):
            if _ties(second, first):
                for one, other in ((first, second), (second, first)):
                    known = tied[one.label]
                    if known is not None:
                        known.append(other.label)
    return tied


def _only(boards: Iterable[Board], kept: Callable[[Row], bool]) -> list[Board]:
    chosen = [replace(board, rows=tuple(filter(kept, board.rows))) for board in boards]
    return [board for board in chosen if board.rows]


def _board(family: Family, origins: Mapping[str, Origin], order: Order, leaders: bool) -> Board:
    members = family.records
    anns = _reference_anns(members)
    first = members[0]
    values = [ann.metrics[first.metric] for ann in (r.ann for r in anns)]
    models = set.intersection(*(set(r.ann.energy_pj) for r in anns)) if anns else set()
    reference = {record.ann.checkpoint_sha256 for record in anns}
    gaps = SharedGaps(members, singly=leaders)
    rows = [
        replace(
            row,
            own_ann=any(r.ann.checkpoint_sha256 not in reference for r in row.records),
            origin=_origin(row, origins),
        )
        for row in _tell_apart([row_of(pool, shared=gaps) for pool in pool_by_seed(members)])
    ]
    board = Board(
        task=first.task,
        dataset=family.dataset,
        network=family.network,
        metric=first.metric,
        note=family.note,
        images=max((r.outcomes.count for r in members if r.outcomes is not None), default=None),
        ann_metric=float(np.mean(values)) if values else None,
        ann_metric_std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        ann_energy_pj={m: float(np.mean([r.ann.energy_pj[m] for r in anns])) for m in sorted(models)},
        rows=tuple(rows),
        benchmark_version=first.benchmark_version,
    )
    return replace(board, rows=_in_groups(rows, order, longest_of(board), leaders))


def _origin(row: Row, origins: Mapping[str, Origin]) -> Origin:
    """Of several runs, where the least is known of."""
    weight: tuple[Origin, ...] = ("reference", "verified", "claimed", "own")
    return max((origin_of(record, origins) for record in row.records), key=weight.index)


def _in_groups(rows: Sequence[Row], order: Order, limit: int, leaders: bool = False) -> tuple[Row, ...]:
    groups = [[row for row in rows if row.group == group] for group in GROUPS]
    return tuple(row for members in groups for row in ranked(members, order, limit, leaders=leaders))


def _ties(row: Row, first: Row) -> bool:
    difference = snn_minus_snn(row.records, first.records, (row.until, first.until))
    return difference is not None and not difference.excludes_zero


def _reference_anns(members: Sequence[Record]) -> list[Record]:
    """One record per checkpoint that the board's ANN figures are taken from.

    The untouched networks if there are any; otherwise what all recipes share; otherwise none.
    """
    untouched = [record for record in members if record.method.ann_untouched]
    if not untouched and differ_by_seed(members):
        return []
    return list({r.ann.checkpoint_sha256: r for r in untouched or members}.values())


def _tell_apart(rows: Sequence[Row]) -> list[Row]:
    """Rows of one label get what tells them apart: their precision, or the first characters of a cell id."""
    labels = [row.label for row in rows]
    found = []
    for row in rows:
        twins = [other for other in rows if other.label == row.label and other is not row]
        precision = row.records[0].provenance.precision
        if not twins:
            found.append(row)
        elif all(other.records[0].provenance.precision != precision for other in twins):
            found.append(replace(row, label=f"{row.label} ({precision})"))
        else:
            found.append(replace(row, label=f"{row.label} #{row.records[0].cell_id[:6]}"))
    taken = [row.label for row in found]
    return [
        replace(row, label=f"{row.label} #{row.records[0].cell_id[:6]}")
        if taken.count(row.label) > 1 and row.label not in labels
        else row
        for row in found
    ]
