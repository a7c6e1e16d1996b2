"""One picture of energy under every model: which recipes cost less than their opponents whatever is assumed.

A line a recipe at 1-point parity, a column a model. Left: energy as a multiple of the ANN's under the same
model. Right: as a multiple of the quantised ANN's at its own parity. Blue and bold costs less, red more; a
line of one colour is a verdict that holds under every model, a line of two is one that turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import TYPE_CHECKING, Any

from leaderboard.costs.matched import Matched, by_cost, matched, opponent_of
from leaderboard.costs.order import models_of
from leaderboard.costs.precision import LEGEND, mark
from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board
from leaderboard.ranking.wording import in_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_DECADES = 1.5  # either way, at which colours are deepest


def draw_models(board: Board) -> Figure | None:
    """The picture as a matplotlib figure, or None where no recipe is at parity."""
    from leaderboard.reports.notebook import new_figure

    models = models_of([board])
    recipes = by_cost((each for each in matched(board) if each.is_at_parity), models[0])
    rows = [each for each in recipes if each.spikes]
    if not rows:
        return None
    opponent = opponent_of(recipes)
    panels: list[tuple[str, Matched | None]] = [("energy at 1-point parity, × ANN", None)]
    if opponent is not None:
        panels.append((f"× quantised ANN ({wording.plain(opponent.label)})", opponent))
    drawn = [*rows, *([] if opponent is None else [opponent])]
    size = (1.6 + 0.62 * len(models) * len(panels), 1.5 + 0.22 * len(drawn))
    figure = new_figure(figsize=size, layout="constrained")
    figure.suptitle(in_figure(board.title), fontsize=8)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (title, against) in zip(axes, panels, strict=True):
        values = [[_ratio(row, model, against) for model in models] for row in drawn]
        _panel(axis, title, values, [[mark(row.row(model), model) for model in models] for row in drawn])
        axis.set_xticks(range(len(models)), map(in_figure, models), rotation=40, ha="left", fontsize=6.5)
    labels = [f"{in_figure(row.label)} ({wording.spikes(row.rows[0])})" for row in drawn]
    axes[0].set_yticks(range(len(drawn)), labels, fontsize=6.5)
    if any(mark(row.row(model), model) for row in drawn for model in models):
        figure.supxlabel(LEGEND, fontsize=5.5)
    return figure


def _ratio(row: Matched, model: str, against: Matched | None) -> float | None:
    ours = row.energy(model)
    theirs = 1.0 if against is None else against.energy(model)
    return None if ours is None or not theirs else ours / theirs


def _panel(
    axis: Any, title: str, values: Sequence[Sequence[float | None]], marks: Sequence[Sequence[str]]
) -> None:
    shades = [
        [float("nan") if not v else max(-MOST_DECADES, min(MOST_DECADES, log10(v))) for v in line]
        for line in values
    ]
    axis.imshow(shades, cmap="RdBu_r", vmin=-1.6 * MOST_DECADES, vmax=1.6 * MOST_DECADES, aspect="auto")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            weight = "bold" if value is not None and value < 1 else "normal"
            text = wording.times(value).removesuffix("×") + ("" if value is None else marks[y][x])
            axis.text(x, y, text, ha="center", va="center", fontsize=5.5, fontweight=weight)
    axis.set_title(title, fontsize=7)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.grid(False)
    for side in axis.spines.values():
        side.set_visible(False)
