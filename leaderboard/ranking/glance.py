"""A board as notebooks show it: rank, metric and time steps of every row; energies stand in full tables."""

from __future__ import annotations

import html
from collections.abc import Sequence

from leaderboard.ranking import wording
from leaderboard.ranking.rows import Row

MOST_ROWS = 40


def as_html(title: str, heading: str, metric: str, rows: Sequence[Row]) -> str:
    """A small table; names in it are text, never markup.

    Args:
        title: of the board.
        heading: what its rows are measured against.
        metric: that ranks.
        rows: best first; what is beyond the first `MOST_ROWS` is counted.
    """
    heads = ("#", "recipe", "group", "spikes", f"{wording.metric_name(metric)}, %", "95 %", "T to parity")
    lines = [
        (
            wording.place(row),
            row.label,
            wording.GROUP_TITLES[row.group],
            wording.spikes(row),
            wording.percent(row.metric),
            wording.percent_range(row.interval),
            wording.steps(row, row.steps_within_1_point),
        )
        for row in rows[:MOST_ROWS]
    ]
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in line)}</tr>" for line in lines)
    if len(rows) > MOST_ROWS:
        body += f'<tr><td colspan="{len(heads)}">and {len(rows) - MOST_ROWS} more</td></tr>'
    head = "".join(f"<th>{_text(each)}</th>" for each in heads)
    caption = f"<caption><b>{_text(title)}</b><br>{_text(heading)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(text: str) -> str:
    return html.escape(wording.plain(text))
