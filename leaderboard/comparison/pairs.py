"""Two recipes, or two results folders, side by side: where they differ, by how much, and whether it counts.

A difference counts when its 95 % interval excludes zero: a paired bootstrap over the test images that both
saw, seeds pooled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.ranking.boards import Board
from leaderboard.ranking.rows import Row
from leaderboard.records.record import Record
from leaderboard.statistics.figures import snn_minus_snn
from leaderboard.statistics.intervals import Difference


@dataclass(frozen=True)
class Change:
    """A setting that differs."""

    name: str  # path in the configuration, e.g. "neuron.gamma"
    first: str  # "absent" where only the other has it
    second: str


@dataclass(frozen=True)
class PointPair:
    """Both at one read-out."""

    t: int
    first: float  # metric, fraction
    second: float
    difference: Difference | None  # second minus first, fractions; None: not the same test images


@dataclass(frozen=True)
class Pair:
    """Two rows on one task, data set and network."""

    title: str  # of the board
    metric: str
    first: Row
    second: Row
    changes: tuple[Change, ...]
    readings: tuple[PointPair, ...]  # at every read-out that both have

    @property
    def final(self) -> Difference | None:
        """Second minus first, each at its last read-out."""
        return _difference(self.first, self.second, None)


def compare_recipes(boards: Sequence[Board], first: str, second: str) -> list[Pair]:
    """Two recipes on every board that has both.

    Args:
        boards: from `leaderboard.ranking.boards.rank`.
        first: label of a row, or name of a preset that one row alone has, or one alone in float32.
        second: likewise.

    Raises:
        ValueError: no board has both; names the recipes that there are.
    """
    found = [(board, _find(board, first), _find(board, second)) for board in boards]
    pairs = [
        pair(board.title, board.metric, a, b) for board, a, b in found if a is not None and b is not None
    ]
    if not pairs:
        labels = sorted({row.label for board in boards for row in board.rows})
        missing = [name for name in (first, second) if not any(_find(board, name) for board in boards)]
        what = f"no recipe {' and no recipe '.join(map(repr, missing))}" if missing else "no board with both"
        raise ValueError(f"{what}; there are: {', '.join(labels)}")
    return pairs


def compare_folders(
    first: Sequence[Board], second: Sequence[Board]
) -> tuple[list[Pair], list[str], list[str]]:
    """Rows that two results folders have in common, and the titles of those that only one has."""
    left, right = (dict(_rows(boards)) for boards in (first, second))
    pairs = [
        pair(left[key][0].title, left[key][0].metric, left[key][1], right[key][1])
        for key in left
        if key in right
    ]
    alone = [
        [" / ".join(filter(None, key)) for key in one if key not in other]
        for one, other in ((left, right), (right, left))
    ]
    return pairs, alone[0], alone[1]


def pair(title: str, metric: str, first: Row, second: Row) -> Pair:
    """Compare two rows of the same metric."""
    left, right = ({point.t: point for point in row.curve} for row in (first, second))
    readings = tuple(
        PointPair(t, left[t].metric, right[t].metric, _difference(first, second, t))
        for t in left
        if t in right
    )
    return Pair(title, metric, first, second, changes(first.records[0], second.records[0]), readings)


def changes(first: Record, second: Record) -> tuple[Change, ...]:
    """Settings that differ between two cells: parts of the recipe, configuration, ANN and origin."""
    left, right = (dict(_flat(_settings(record))) for record in (first, second))
    names = sorted(set(left) | set(right))
    return tuple(
        Change(name, left.get(name, "absent"), right.get(name, "absent"))
        for name in names
        if left.get(name) != right.get(name)
    )


def _settings(record: Record) -> dict[str, Any]:
    config = {key: value for key, value in record.config.items() if key not in ("recipe", "seed")}
    origin = record.provenance
    return {
        **record.method.parts,
        "configuration": config,
        "checkpoint": record.ann.checkpoint_sha256[:12],
        "commit": (origin.git_commit or "unknown")[:12] + (" with changes" if origin.git_dirty else ""),
        "versions": origin.versions,
        "device": origin.device,
    }


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _flat(entry, f"{name}.{key}" if name else str(key))
    else:
        yield name, str(value)


def _difference(first: Row, second: Row, t: int | None) -> Difference | None:
    try:
        return snn_minus_snn(second.records, first.records, t)
    except ValueError:  # other test images
        return None


def _find(board: Board, name: str) -> Row | None:
    labelled = [row for row in board.rows if row.label == name]
    named = labelled or [row for row in board.rows if row.method == name]
    if len(named) > 1:  # measured in several precisions: the one that recipes have unless told otherwise
        named = [row for row in named if row.records[0].provenance.precision == "float32"]
    return named[0] if len(named) == 1 else None


def _rows(boards: Sequence[Board]) -> Iterator[tuple[tuple[str, ...], tuple[Board, Row]]]:
    for board in boards:
        for row in board.rows:
            yield (board.task, board.dataset, board.network, row.label, board.note), (board, row)
