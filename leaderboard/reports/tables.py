"""The ranking in a terminal: one table per board, readable from 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from leaderboard.costs.order import has_figures, side_by_side
from leaderboard.published import PublishedCurve, beside
from leaderboard.published.table import EVIDENCE, comparison_table
from leaderboard.ranking import wording
from leaderboard.ranking.boards import GROUPS, Board
from leaderboard.ranking.rows import Row
from leaderboard.records.record import Group
from leaderboard.reports.columns import Column, fitted, header, lines

WIDE = 104  # columns from which the interval fits beside the metric instead of below it
GROUP_NAMES: dict[Group, str] = {  # as wide as the narrowest recipe column
    "binary": "binary",
    "multi-level": "multi-level",
    "retrained": "retrained",
    "baseline": "reference",
}


def render(
    boards: Sequence[Board],
    console: Console,
    published: Sequence[PublishedCurve] = (),
    model: str | None = None,
) -> None:
    """Print every board, published figures of the same pairing below it, then what the signs mean.

    Args:
        boards: from `leaderboard.ranking.boards.rank`; text in them is printed as text, never as markup.
        console: where to print; its width is respected down to 80 columns.
        published: figures of papers, from `leaderboard.published`.
        model: energy model that stands beside operations; None: operations with equal widths.
    """
    compared = False
    for board in boards:
        console.print()
        console.print(Text(wording.plain(board.title), style="bold"))
        console.print(Text(wording.heading(board)))
        console.print(_table(board, console.width, _shown(boards, model)), soft_wrap=True)
        found = beside(board, published)
        if found:
            compared = True
            console.print()
            console.print(Text("Published on their own ANNs, not measured here and not ranked:"))
            console.print(comparison_table(found))
    for line in [*_legend(boards, _shown(boards, model)), *([EVIDENCE] if compared else [])]:
        console.print(Text(line, style="dim"))


def _shown(boards: Sequence[Board], model: str | None) -> list[str]:
    """Energy models that have a figure, the reference first."""
    first, second = side_by_side(model)
    return [first, second] if has_figures(boards, second) else [first]


def _table(board: Board, width: int, models: Sequence[str]) -> Text:
    wide = width >= WIDE
    gap = 2 if wide else 1
    columns = [
        Column("#"),
        Column("recipe", right=False, least=12),
        Column("spikes", right=False),
        Column("T"),
        Column(f"{wording.plain(board.metric)} %\n(95 %)"),
        Column("gap\npoints"),
        Column("T parity\n1.0 / 0.5"),
        Column("energy\n× ANN"),
        Column("rate"),
    ]
    groups = {
        group: [_cells(row, models, wide=wide) for row in board.rows if row.group == group]
        for group in GROUPS
    }
    widths = fitted(columns, [cells for rows in groups.values() for cells in rows], width, gap)
    *titles, rule = header(columns, widths, gap)
    parts: list[tuple[str, str]] = [("\n".join([*titles, ""]), "bold"), (rule, "")]
    for group, rows in groups.items():
        if rows:
            apart = "\n" if len(parts) == 2 else "\n\n"
            name = lines(columns, widths, ["", GROUP_NAMES[group]], gap)
            body = [line for cells in rows for line in lines(columns, widths, cells, gap)]
            parts += [(apart + "\n".join(name), "bold"), ("\n".join(["", *body]), "")]
    return Text.assemble(*parts)


def _cells(row: Row, models: Sequence[str], *, wide: bool) -> list[str]:
    metric, interval = wording.percent(row.metric), wording.percent_range(row.interval)
    lines = [f"{metric} ({interval})" if wide and interval else metric]
    lines += [text for text in ("" if wide else interval, wording.runs(row)) if text]
    label = wording.plain(row.label) + (" †" if row.own_ann else "")
    one, half = row.steps_within_1_point, row.steps_within_half_point
    parity = f"{wording.steps(row, one)} / {wording.steps(row, half)}"
    return [
        wording.place(row),
        label,
        wording.spikes(row),
        wording.total_steps(row.final_t, row.final_averaged),
        "\n".join(lines),
        wording.points(row.gap_points),
        wording.UNKNOWN if row.alphabet == "none" else parity,
        wording.parity_energies(row, models),
        wording.rate(row.firing_rate),
    ]


def _legend(boards: Sequence[Board], models: Sequence[str]) -> list[str]:
    """Only the signs that occur."""
    rows = [row for board in boards for row in board.rows]
    if not rows:
        return ["No records yet."]
    cells = [cell for row in rows for cell in _cells(row, models, wide=True)[6:8]]
    lines = [
        "",
        "T: time steps run. T parity: fewest measured steps from which the metric stays",
        f"within 1.0 / 0.5 points of the ANN's. Energy: at 1.0 parity, {' / '.join(models)}.",
    ]
    if any("(" in cell for row in rows for cell in [wording.total_steps(row.final_t, row.final_averaged)]):
        lines.append("(n) output steps averaged; ≤ where images may be read out before.")
    if any(wording.NEVER in cell for cell in cells):
        lines.append(f"{wording.NEVER} not reached at any measured T.")
    if any(row.ties_first for row in rows):
        lines.append("= the test set does not tell it from the first of its group (95 %).")
    if any(row.own_ann for row in rows):
        lines.append("† started from its own ANN, which the gap refers to.")
    return lines
