"""What a submission changes on the boards, in Markdown, for whoever reviews it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board
from leaderboard.ranking.rows import Row
from leaderboard.ranking.winners import winners

_ENTITIES = {ord(sign): f"&#{ord(sign)};" for sign in "<>@"}


def board_difference(before: Sequence[Board], after: Sequence[Board]) -> str:
    """Boards with new rows or other ranks, one table each.

    Args:
        before: without the submission.
        after: with it.
    """
    # By cell, as a row gets another label where another of its name stands beside it.
    old = {
        board.title: {record.cell_id: row for row in board.rows for record in row.records} for board in before
    }
    parts = []
    for board in after:
        known = old.get(board.title, {})
        lines = [_line(row, _known(row, known)) for row in board.rows]
        changed = [line for line in lines if line is not None]
        if changed:
            head = "| # | before | recipe | group | division | T to parity | metric | origin |"
            rule = "| ---: | ---: | :--- | :--- | :--- | ---: | ---: | :--- |"
            sentences = [f"- {_text(sentence)}" for sentence in winners(board).values()]
            title = f"### {_text(board.title)}{'' if board.title in old else ' (new board)'}"
            parts.append("\n".join([title, "", *sentences, "", head, rule, *changed]))
    return "\n\n".join(parts) if parts else "No row is new and no rank changes."


def _known(row: Row, old: Mapping[str, Row]) -> Row | None:
    return next((old[each.cell_id] for each in row.records if each.cell_id in old), None)


def _line(row: Row, before: Row | None) -> str | None:
    if before is not None and (before.rank, before.tied, before.origin) == (row.rank, row.tied, row.origin):
        return None
    cells = [
        wording.place(row),
        "new" if before is None else wording.place(before),
        f"**{_text(row.label)}**" if before is None else _text(row.label),
        row.group,
        row.division,
        wording.steps(row, row.steps_within_1_point),
        f"{wording.percent(row.metric)} %",
        row.origin,
    ]
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """Text that Markdown shows as it is, and that mentions nobody."""
    return re.sub(r"[\\`*|\[\]~_#]", r"\\\g<0>", wording.plain(text)).translate(_ENTITIES)
