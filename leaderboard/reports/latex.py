"""The ranking as LaTeX tables with booktabs: one a board, the best of each group in bold, with intervals."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboard.costs import precision
from leaderboard.costs.order import has_figures, side_by_side
from leaderboard.ranking import wording
from leaderboard.ranking.boards import GROUPS, Board
from leaderboard.ranking.orders import Order, apart
from leaderboard.ranking.rows import Row

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "≤": r"$\leq$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "γ": r"$\gamma$",
    "θ": r"$\theta$",
    "λ": r"$\lambda$",
    "τ": r"$\tau$",
    "–": "--",
    "—": "---",
    wording.MINUS: "$-$",
    **{sign: f"\\{sign}" for sign in "&%$#_"},
}


_MARK = r"$^\ddagger$"


def to_latex(boards: Sequence[Board], model: str | None = None) -> str:
    r"""Tables for a paper, shrunk to the width of a line; they need `\usepackage{booktabs,graphicx}`.

    Bold: the best metric of a group and all that tie with it (paired bootstrap, 95 %), the fewest steps to
    parity, the least energy at parity.

    Args:
        boards: from `leaderboard.ranking.boards.rank`.
        model: energy model that stands beside operations; None: operations with equal widths.
    """
    models = [each for each in side_by_side(model) if has_figures(boards, each)] or [side_by_side(model)[0]]
    return "% needs \\usepackage{booktabs,graphicx}\n" + "\n".join(_table(board, models) for board in boards)


@dataclass(frozen=True)
class _LatexColumn:
    """A column: its head, how it is aligned, and what a row of a group shows in it."""

    head: str
    align: str
    of: Callable[[Row, Sequence[Row]], str]


def _figures(metric: str, models: Sequence[str]) -> list[_LatexColumn]:
    return [
        _LatexColumn(
            "Recipe", "l", lambda row, _: escape(row.label) + (r"$^\dagger$" if row.own_ann else "")
        ),
        _LatexColumn("Spikes", "l", lambda row, _: escape(wording.spikes(row))),
        _LatexColumn(
            "$T$", "r", lambda row, _: escape(wording.total_steps(row.final_t_total, row.final_averaged))
        ),
        _LatexColumn(f"{escape(wording.metric_name(metric))} (\\%)", "r", _metric),
        _LatexColumn("95\\,\\% interval", "r", lambda row, _: escape(wording.percent_range(row.interval))),
        _LatexColumn("Gap", "r", lambda row, _: escape(wording.points(row.gap_points))),
        _LatexColumn("$T_{\\leq 1}$", "r", _steps_to_parity),
        *(_energy(model) for model in models),
    ]


def _table(board: Board, models: Sequence[str]) -> str:
    figures = _figures(board.metric, models)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(board.title)}; {escape(wording.heading(board, in_full=True))}."
        rf"{_note(board, models)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{''.join(figure.align for figure in figures)}}}",
        r"\toprule",
        " & ".join(figure.head for figure in figures) + r" \\",
    ]
    for group in GROUPS:
        rows = [row for row in board.rows if row.group == group]
        if rows:
            title = escape(wording.GROUP_TITLES[group].capitalize())
            lines += [r"\midrule", rf"\multicolumn{{{len(figures)}}}{{l}}{{\emph{{{title}}}}} \\"]
            lines += [" & ".join(figure.of(row, rows) for figure in figures) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}", ""])


def _note(board: Board, models: Sequence[str]) -> str:
    """The legend of the mark, where some figure carries it."""
    if not precision.any_unlike([board], models):
        return ""
    return f" {_MARK}{escape(precision.LEGEND.removeprefix(precision.MARK))}"


def _metric(row: Row, rows: Sequence[Row]) -> str:
    best = max(rows, key=lambda each: each.metric)
    return _bold(wording.percent(row.metric), row is best or not apart(best, row, Order("accuracy")))


def _steps_to_parity(row: Row, rows: Sequence[Row]) -> str:
    text = escape(wording.steps(row, row.steps_within_1_point))
    return _bold(text, _least(row, rows, lambda each: each.steps_within_1_point))


def _energy(model: str) -> _LatexColumn:
    def figure(row: Row) -> float | None:
        return row.energy_at_parity.get(model)

    def cell(row: Row, rows: Sequence[Row]) -> str:
        text = escape(wording.parity_energy(row, figure(row)).removesuffix("×"))
        marked = figure(row) is not None and precision.unlike(row, model)
        return _bold(text, _least(row, rows, figure)) + (_MARK if marked else "")

    return _LatexColumn(f"Energy ($\\times$ ANN), {escape(model)}", "r", cell)


def _least(row: Row, rows: Sequence[Row], figure: Callable[[Row], float | None]) -> bool:
    known = [value for each in rows if (value := figure(each)) is not None]
    return len(rows) > 1 and bool(known) and figure(row) == min(known)


def _bold(text: str, best: bool) -> str:
    return rf"\textbf{{{text}}}" if best else text


def escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return re.sub("|".join(map(re.escape, _SPECIAL)), lambda found: _SPECIAL[found[0]], wording.plain(text))
