"""One picture of a published claim: what a board says of it, and where the claim would be true.

matplotlib is imported only when a picture is drawn.
"""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING, Any

from leaderboard.costs.order import models_of
from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board
from leaderboard.ranking.parity_ratios import parity_ratios
from leaderboard.ranking.rows import PARITY_POINTS
from leaderboard.ranking.wording import in_figure
from leaderboard.records.record import Group
from leaderboard.reports.plots import COLOURS, MARKERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OF_GROUP: dict[Group, str] = {"binary": COLOURS[0], "multi-level": COLOURS[1], "retrained": COLOURS[2]}


def draw_fewer_steps(board: Board, claimed: float) -> Figure | None:
    """Time steps to parity of every spiking recipe, and the `claimed`-th part of those of the slowest.

    A hollow arrowhead is a recipe that was not at parity when its run ended.

    Returns:
        The figure; None where no recipe is at parity.
    """
    rows = {row.label: row for row in board.rows}
    entries = parity_ratios(board)
    if not entries:
        return None
    ends = [(entry.label, entry.steps, rows[entry.label].final_t_total) for entry in entries]
    ends.sort(key=lambda each: (each[1] is None, each[2] if each[1] is None else each[1]))
    slowest = max(last if steps is None else steps for _, steps, last in ends)
    figure, axes = _figure(board, (5.6, 0.9 + 0.2 * len(ends)))
    for y, (label, steps, last) in enumerate(ends):
        colour = _OF_GROUP[rows[label].group]
        axes.plot([1, last if steps is None else steps], [y, y], color="0.85", linewidth=0.8, zorder=1)
        hollow = {"marker": ">", "markerfacecolor": "white"} if steps is None else {"marker": "o"}
        axes.plot(last if steps is None else steps, y, color=colour, markersize=5, zorder=3, **hollow)
    limit = slowest / claimed
    axes.axvline(limit, color="black", linestyle="--", linewidth=1)
    axes.set_title(f"claim: 1/{claimed:g} of the slowest, T = {limit:.3g}", fontsize=7, loc="left")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(f"time steps to parity within {PARITY_POINTS:g} point; hollow: not in its run")
    axes.set_yticks(range(len(ends)), [in_figure(label) for label, _, _ in ends], fontsize=7)
    axes.invert_yaxis()
    groups = list(dict.fromkeys(rows[label].group for label, _, _ in ends))
    for group in groups:
        axes.plot([], [], "o", color=_OF_GROUP[group], label=wording.GROUP_TITLES[group].lower())
    axes.legend(frameon=False, fontsize=6.5)
    return figure


def draw_less_energy(board: Board, claimed: float) -> Figure | None:
    """Energy at parity of the spiking recipes under every energy model, and `claimed` times the ANN's.

    The eight that cost least under the first model have colours, the others are grey.

    Returns:
        The figure; None where no recipe is at parity.
    """
    models = models_of([board])
    parity = [row for row in board.rows if row.alphabet != "none" and row.steps_within_1_point is not None]
    if not parity:
        return None
    rows = sorted(parity, key=lambda row: row.energy_at_parity.get(models[0]) or inf)
    figure, axes = _figure(board, (6.2, 1.2 + 0.24 * len(models)))
    for place, row in enumerate(rows):
        costs = [row.energy_at_parity.get(model) or nan for model in models]
        look = {"color": "0.75", "marker": "."}
        if place < len(COLOURS):
            look = {"color": COLOURS[place], "marker": MARKERS[place], "label": in_figure(row.label)}
        axes.plot(costs, range(len(models)), linestyle="none", markersize=4, **look)
    axes.axvline(claimed, color="black", linestyle="--", linewidth=1)
    axes.axvline(1, color="0.6", linewidth=0.8)
    axes.set_title(f"claim: {claimed:g} times the ANN's energy (dashed)", fontsize=7, loc="left")
    axes.set_xscale("log")
    axes.set_xlabel(f"energy at parity within {PARITY_POINTS:g} point, × ANN under the same model")
    axes.set_yticks(range(len(models)), list(map(in_figure, models)), fontsize=7)
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=6.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _figure(board: Board, size: tuple[float, float]) -> tuple[Figure, Any]:
    from leaderboard.reports.notebook import new_figure

    figure = new_figure(figsize=size, layout="constrained")
    figure.suptitle(
        f"{in_figure(board.title)}: {in_figure(wording.heading(board, in_full=True))}", fontsize=8
    )
    axes = figure.add_subplot()
    axes.tick_params(labelsize=7)
    axes.xaxis.label.set_fontsize(7)
    axes.grid(axis="x", color="0.92", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
