"""The ranking in a terminal: one table per board, readable from 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from leaderboard.costs import precision
from leaderboard.costs.order import has_figures, side_by_side
from leaderboard.published import PublishedCurve, beside
from leaderboard.published.table import EVIDENCE, comparison_table
from leaderboard.ranking import wording
from leaderboard.ranking.boards import GROUPS, Board
from leaderboard.ranking.orders import DEFAULT, Order
from leaderboard.ranking.rows import Row
from leaderboard.ranking.winners import winners
from leaderboard.records.record import Group
from leaderboard.reports.columns import Column, fitted, header, lines
from leaderboard.reports.overview import overview

_RANKED_BY = {
    "parity": "fewest time steps to parity within 1 point, then least energy there",
    "accuracy": "the metric at the last read-out",
    "energy": "least energy at parity within 1 point under {}",
    "area": "the mean metric over T = 1, 2, 4, ...",
}
_LED_BY = {
    "parity": "time steps to parity",
    "accuracy": "the metric",
    "energy": "energy at parity under {}",
    "area": "the mean metric",
}
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
    order: Order = DEFAULT,
    limit: float | None = None,
    others: Sequence[Board] = (),
) -> None:
    """Print every board, published figures of the same pairing below it, then what the signs mean.

    Args:
        boards: from `leaderboard.ranking.boards.rank`; text in them is printed as text, never as markup.
        console: where to print; its width is respected down to 80 columns.
        published: figures of papers, from `leaderboard.published`.
        model: energy model that stands beside operations; None: operations with equal widths.
        order: what the boards are ranked by.
        limit: of time steps that they stand under.
        others: boards that follow in one line each, ranked alike.
    """
    compared = False
    for board in boards:
        console.print()
        console.print(Text(wording.plain(board.title), style="bold"))
        console.print(Text(wording.heading(board, in_full=True)))
        for sentence in winners(board, order, None if limit is None else int(limit)).values():
            console.print(Text(sentence, style="italic"))
        console.print(_table(board, console.width, _shown(boards, model)), soft_wrap=True)
        found = beside(board, published)
        if found:
            compared = True
            console.print()
            console.print(Text("Published on their own ANNs, not measured here and not ranked:"))
            console.print(comparison_table(found))
    for line in [*_legend(boards, _shown(boards, model), order), *([EVIDENCE] if compared else [])]:
        console.print(Text(line, style="dim"))
    if others:
        console.print()
        console.print(Text(f"Also ranked, with what leads by {_LED_BY[order.kind].format(order.model)}:"))
        console.print(Text("\n".join(overview(others, console.width, order, limit))), soft_wrap=True)


def _shown(boards: Sequence[Board], model: str | None) -> list[str]:
    """Energy models that have a figure, the reference first."""
    first, second = side_by_side(model)
    return [first, second] if has_figures(boards, second) else [first]


@dataclass(frozen=True)
class _RankingColumn:
    """A column of the table, and what a row shows in it."""

    column: Column
    of: Callable[[Row], str]


def _figures(metric: str, models: Sequence[str], *, wide: bool) -> list[_RankingColumn]:
    return [
        _RankingColumn(Column("#"), wording.place),
        _RankingColumn(Column("recipe", right=False, least=12), _label),
        _RankingColumn(Column("spikes", right=False, least=8), wording.spikes),
        _RankingColumn(Column("T", least=6), _steps),
        _RankingColumn(
            Column(f"{wording.short_metric(metric)} %\n(95 %)"), lambda row: _metric(row, wide=wide)
        ),
        _RankingColumn(Column("gap\npoints"), lambda row: wording.points(row.gap_points)),
        _RankingColumn(Column("T parity\n1.0 / 0.5"), _parity),
        _RankingColumn(Column("energy\n× ANN", least=9), lambda row: precision.parity_energies(row, models)),
        _RankingColumn(Column("rate"), lambda row: wording.rate(row.firing_rate)),
    ]


def _table(board: Board, width: int, models: Sequence[str]) -> Text:
    wide = width >= WIDE
    gap = 2 if wide else 1
    figures = _figures(board.metric, models, wide=wide)
    columns = [figure.column for figure in figures]
    groups = {
        group: [[figure.of(row) for figure in figures] for row in board.rows if row.group == group]
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


_WORD = 17  # letters; longer names go on in a second line behind a hyphen, where they have one


def _label(row: Row) -> str:
    words = wording.plain(row.label).split(" ")
    cut = ["\n".join(textwrap.wrap(word, _WORD)) if len(word) > _WORD else word for word in words]
    return " ".join(cut) + (" †" if row.own_ann else "")


def _steps(row: Row) -> str:
    return wording.total_steps(row.final_t_total, row.final_averaged)


def _metric(row: Row, *, wide: bool) -> str:
    metric, interval = wording.percent(row.metric), wording.percent_range(row.interval)
    lines = [f"{metric} ({interval})" if wide and interval else metric]
    lines += [text for text in ("" if wide else interval, wording.runs(row)) if text]
    return "\n".join(lines)


def _parity(row: Row) -> str:
    if row.alphabet == "none":
        return wording.UNKNOWN
    one, half = row.steps_within_1_point, row.steps_within_half_point
    return f"{wording.steps(row, one)} / {wording.steps(row, half)}"


def _legend(boards: Sequence[Board], models: Sequence[str], order: Order) -> list[str]:
    """Only the signs that occur."""
    rows = [row for board in boards for row in board.rows]
    if not rows:
        return ["No records yet."]
    cells = [cell for row in rows for cell in (_parity(row), precision.parity_energies(row, models))]
    lines = [
        "",
        f"Ranked by {_RANKED_BY[order.kind].format(order.model)}.",
        "T: time steps run. T parity: fewest measured steps from which the metric stays",
        f"within 1.0 / 0.5 points of the ANN's. Energy: at 1.0 parity, {' / '.join(models)}.",
    ]
    if precision.any_unlike(boards, models):
        lines += textwrap.wrap(precision.LEGEND, 80)
    if any("(" in _steps(row) for row in rows):
        lines.append("(n) output steps averaged; ≤ where images may be read out before.")
    if any(wording.NEVER in cell for cell in cells):
        lines.append(f"{wording.NEVER} not reached at any measured T.")
    if any(row.tied for row in rows):
        lines.append("= ranks shared where the test images do not tell rows apart (95 %).")
    if any(row.own_ann for row in rows):
        lines.append("† started from its own ANN, which the gap refers to.")
    return lines
