"""Boards at a glance: one line each, with who leads every group."""

from __future__ import annotations

from collections.abc import Sequence

from leaderboard.ranking import wording
from leaderboard.ranking.boards import GROUPS, Board
from leaderboard.ranking.orders import DEFAULT, Order
from leaderboard.ranking.winners import leading
from leaderboard.records.record import Group
from leaderboard.reports.columns import Column, fitted, header, lines

BEST: dict[Group, str] = {
    "binary": "binary",
    "multi-level": "multi-level",
    "retrained": "retrained",
}


def overview(
    boards: Sequence[Board], width: int, order: Order = DEFAULT, limit: float | None = None
) -> list[str]:
    """Lines of a table: every board, its ANN, and the first row of each group with what it ranks by.

    Args:
        boards: ranked by `order`.
        width: of the terminal; from 80 columns on the lines fit.
        order: what the boards are ranked by.
        limit: of time steps that they stand under.
    """
    first = {board.title: leading(board, order, None if limit is None else int(limit)) for board in boards}
    groups = [group for group in GROUPS if any(group in found for found in first.values())]
    columns = [Column("board", right=False, least=18), Column("ANN %")]
    columns += [Column(f"best {BEST[group]}", right=False, least=16) for group in groups]
    rows = [
        [
            wording.plain(board.title),
            wording.UNKNOWN if board.ann_metric is None else wording.percent(board.ann_metric),
            *(first[board.title].get(group, "") for group in groups),
        ]
        for board in boards
    ]
    widths = fitted(columns, rows, width, gap=2)
    body = [line for row in rows for line in lines(columns, widths, row, gap=2)]
    return [*header(columns, widths, gap=2), *body]
