"""Boards: who is best at converting this network on this data set.

One board per task, data set and network. What must not be compared is kept apart:

- Groups. Binary spikes, several spikes a step, and retrained networks answer different questions, so
  ranks count within a group. The bit-matched quantised ANN stands last, as the reference that an
  energy claim has to beat, and has no rank.
- Test sets. Records measured on different test images go to different boards.
- Networks. If recipes that leave the ANN untouched started from different checkpoints for the same
  seed, somebody trained the ANN twice. A difference between recipes could then be one between
  networks, and for other seeds nobody can tell which checkpoints belong together, so every checkpoint
  gets its own board. A retrained recipe has its own checkpoint by nature; it stays on the board,
  its gap is measured against its own ANN, and the row is marked (`Row.own_ann`).

Such boards say in `Board.note` why they stand alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeVar

import numpy as np

from leaderboard.ranking.rows import Row, last_within, pool_by_seed, row_of
from leaderboard.records.record import Group, Record
from leaderboard.statistics.figures import snn_minus_snn

GROUPS: tuple[Group, ...] = ("binary", "multi-level", "retrained", "baseline")

_Key = TypeVar("_Key", bound=Hashable)


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

    @property
    def title(self) -> str:
        """Data set, network and task, with the note if there is one."""
        name = f"{self.dataset} · {self.network} ({self.task})"
        return f"{name}, {self.note}" if self.note else name


def rank(records: Iterable[Record]) -> list[Board]:
    """Rank every record; of several records of one cell the newest stands.

    Returns:
        Boards by task, data set, network. Rows by group (binary, multi-level, retrained, baseline),
        then metric at the final read-out, then time steps to parity within 1 point, then label.
    """
    newest: dict[str, Record] = {}
    for record in sorted(records, key=lambda r: r.provenance.created):
        newest[record.cell_id] = record
    boards: list[Board] = []
    families = _split(newest.values(), lambda r: (r.task, r.dataset, r.network, r.metric))
    for _, family in sorted(families.items()):
        tests = _split(family, _test_set)
        for test, members in sorted(tests.items(), key=lambda item: str(item[0])):
            note = _test_note(test) if len(tests) > 1 else ""
            boards += _boards_of_one_test_set(members, note)
    return boards


def only_groups(boards: Iterable[Board], groups: Collection[Group]) -> list[Board]:
    """Boards with the rows of these groups alone; ranks, which count within a group, stay as they were.

    Boards without such a row are left out. No groups stand for all of them.
    """
    kept = set(groups or GROUPS)
    return _only(boards, lambda row: row.group in kept)


def only_recipe(boards: Iterable[Board], name: str) -> list[Board]:
    """Boards with the rows of one recipe alone, whatever its parameters; the others are left out."""
    return _only(boards, lambda row: row.method == name)


def at_limit(boards: Iterable[Board], limit: float | None) -> list[Board]:
    """Boards as they stand when no network may run more than `limit` time steps; None: no limit.

    Every row is read out at its last read-out within the limit, and ranked anew; rows without one are
    left out.
    """
    if limit is None:
        return list(boards)
    limited = []
    for board in boards:
        rows = []
        for row in board.rows:
            until = last_within(row, limit)
            if until is not None:
                shorter = row_of(row.records, until)
                rows.append(replace(shorter, label=row.label, own_ann=row.own_ann))
        if rows:
            ordered = tuple(row for group in GROUPS for row in _ranked(rows, group))
            limited.append(replace(board, rows=ordered))
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


def _boards_of_one_test_set(members: Sequence[Record], note: str) -> list[Board]:
    if not _trained_twice(members):
        return [_board(members, note)]
    boards = []
    for checkpoint, group in sorted(_split(members, lambda r: r.ann.checkpoint_sha256).items()):
        notes = [note, f"ANN {checkpoint[:8]}"]
        boards.append(_board(group, ", ".join(filter(None, notes))))
    return boards


def _board(members: Sequence[Record], note: str) -> Board:
    anns = _reference_anns(members)
    first = members[0]
    values = [ann.metrics[first.metric] for ann in (r.ann for r in anns)]
    models = set.intersection(*(set(r.ann.energy_pj) for r in anns)) if anns else set()
    rows = [row_of(pool) for pool in pool_by_seed(members)]
    reference = {record.ann.checkpoint_sha256 for record in anns}
    rows = [
        replace(row, own_ann=any(r.ann.checkpoint_sha256 not in reference for r in row.records))
        for row in _tell_apart(rows)
    ]
    return Board(
        task=first.task,
        dataset=first.dataset,
        network=first.network,
        metric=first.metric,
        note=note,
        images=max((r.outcomes.count for r in members if r.outcomes is not None), default=None),
        ann_metric=float(np.mean(values)) if values else None,
        ann_metric_std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        ann_energy_pj={m: float(np.mean([r.ann.energy_pj[m] for r in anns])) for m in sorted(models)},
        rows=tuple(row for group in GROUPS for row in _ranked(rows, group)),
    )


def _ranked(rows: Sequence[Row], group: Group) -> list[Row]:
    """The rows of one group, best first, with ranks and ties unless they are baselines."""

    def order(row: Row) -> tuple[float, float, str]:
        steps = row.steps_within_1_point
        return (-row.metric, float("inf") if steps is None else steps, row.label)

    members = sorted((row for row in rows if row.group == group), key=order)
    if group == "baseline":
        return members
    return [
        replace(row, rank=place, ties_first=place > 1 and _ties(row, members[0]))
        for place, row in enumerate(members, start=1)
    ]


def _ties(row: Row, first: Row) -> bool:
    difference = snn_minus_snn(row.records, first.records, (row.until, first.until))
    return difference is not None and not difference.excludes_zero


def _reference_anns(members: Sequence[Record]) -> list[Record]:
    """One record per checkpoint that the board's ANN figures are taken from.

    The untouched networks if there are any; otherwise what all recipes share; otherwise none.
    """
    untouched = [record for record in members if record.method.ann_untouched]
    if not untouched and _differ_by_seed(members):
        return []
    return list({r.ann.checkpoint_sha256: r for r in untouched or members}.values())


def _trained_twice(members: Sequence[Record]) -> bool:
    return _differ_by_seed([record for record in members if record.method.ann_untouched])


def _differ_by_seed(members: Sequence[Record]) -> bool:
    by_seed = _split(members, lambda record: record.seed).values()
    return any(len({r.ann.checkpoint_sha256 for r in same_seed}) > 1 for same_seed in by_seed)


def _tell_apart(rows: Sequence[Row]) -> list[Row]:
    """Rows of one label get the first characters of a cell id added."""
    labels = [row.label for row in rows]
    return [
        replace(row, label=f"{row.label} #{row.records[0].cell_id[:6]}")
        if labels.count(row.label) > 1
        else row
        for row in rows
    ]


def _test_set(record: Record) -> tuple[str, int | None]:
    """Fingerprint of the test split and number of images, as far as the record knows them."""
    count = None if record.outcomes is None else record.outcomes.count
    return record.provenance.data.get("test", ""), count


def _test_note(test: tuple[str, int | None]) -> str:
    fingerprint, count = test
    size = "images not counted" if count is None else f"{count} images"
    return f"test set {fingerprint[:8] or 'without fingerprint'} ({size})"


def _split(records: Iterable[Record], key: Callable[[Record], _Key]) -> dict[_Key, list[Record]]:
    parts: dict[_Key, list[Record]] = {}
    for record in records:
        parts.setdefault(key(record), []).append(record)
    return parts
