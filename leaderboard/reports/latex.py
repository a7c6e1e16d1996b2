"""The ranking as LaTeX tables with booktabs: one a board, the best of each group in bold, with intervals."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from leaderboard.costs.order import has_figures, side_by_side
from leaderboard.ranking import wording
from leaderboard.ranking.boards import GROUPS, Board
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


def _table(board: Board, models: Sequence[str]) -> str:
    head = [
        "Recipe",
        "Spikes",
        "$T$",
        f"{escape(wording.metric_name(board.metric))} (\\%)",
        "95\\,\\% interval",
        "Gap",
    ]
    head += ["$T_{\\leq 1}$", *(f"Energy ($\\times$ ANN), {escape(model)}" for model in models)]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(board.title)}; {escape(wording.heading(board, in_full=True))}.}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{llrrrrr{'r' * len(models)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
    ]
    for group in GROUPS:
        rows = [row for row in board.rows if row.group == group]
        if rows:
            title = escape(wording.GROUP_TITLES[group].capitalize())
            lines += [r"\midrule", rf"\multicolumn{{{7 + len(models)}}}{{l}}{{\emph{{{title}}}}} \\"]
            lines += [" & ".join(_cells(row, rows, models)) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}", ""])


def _cells(row: Row, rows: Sequence[Row], models: Sequence[str]) -> list[str]:
    best = row.rank == 1 or row.ties_first or (row.rank is None and row == rows[0])
    energies = [
        _bold(
            escape(wording.parity_energy(row, row.energy_at_parity.get(model)).removesuffix("×")),
            _least(row, rows, lambda r, model=model: r.energy_at_parity.get(model)),  # type: ignore[misc]
        )
        for model in models
    ]
    return [
        escape(row.label) + (r"$^\dagger$" if row.own_ann else ""),
        escape(wording.spikes(row)),
        escape(wording.total_steps(row.final_t, row.final_averaged)),
        _bold(wording.percent(row.metric), best),
        escape(wording.percent_range(row.interval)),
        escape(wording.points(row.gap_points)),
        _bold(
            escape(wording.steps(row, row.steps_within_1_point)),
            _least(row, rows, lambda r: r.steps_within_1_point),
        ),
        *energies,
    ]


def _least(row: Row, rows: Sequence[Row], figure: Callable[[Row], float | None]) -> bool:
    known = [value for each in rows if (value := figure(each)) is not None]
    return len(rows) > 1 and bool(known) and figure(row) == min(known)


def _bold(text: str, best: bool) -> str:
    return rf"\textbf{{{text}}}" if best else text


def escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return re.sub("|".join(map(re.escape, _SPECIAL)), lambda found: _SPECIAL[found[0]], wording.plain(text))
