"""Energy at parity as a table: how much of the ANN's energy it takes to be as good, by every model.

Papers claim such figures ("the same performance at 0.492 times the energy"). Whether one holds depends on how
near to the ANN counts as the same, and on what is counted as energy, so both stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

from leaderboard.costs.order import models_of
from leaderboard.costs.precision import marked
from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board
from leaderboard.ranking.parity_ratios import STEPS
from leaderboard.ranking.rows import Row, median_over_runs
from leaderboard.statistics.figures import energy_at_parity

HEADING = "Energy at parity, as a multiple of the ANN's"
EXPLANATION = (
    "Energy of an image up to the first T from which on the metric stays within 1 or 0.5 points of the "
    "ANN's, by the energy of the ANN under the same model; of the quantised ANN with the fewest levels from "
    "which on it stays there. n/a: the model needs counts that the record lacks."
)


def parity_energy_table(board: Board) -> tuple[list[str], list[list[str]]]:
    """Header and lines: recipe, group, for each parity the steps to it and the energy under each model."""
    models = models_of([board])
    header = ["recipe", "group"]
    for points in STEPS:
        header += [f"T to {points}", *(f"{model}, {points}" for model in models)]
    return header, [_line(row, models) for row in board.rows]


def _line(row: Row, models: Sequence[str]) -> list[str]:
    cells = [row.label, row.group]
    for points, steps_of in STEPS.items():
        steps = steps_of(row)
        if steps is None:
            never = f"not by T={wording.time_steps(row.final_t_total)}"
            cells += [wording.UNKNOWN if row.alphabet == "none" else never, *[wording.NEVER] * len(models)]
        else:
            found = [
                median_over_runs([energy_at_parity(r, points, model, row.until) for r in row.records])
                for model in models
            ]
            cells += [wording.steps(row, steps)]
            cells += [marked(wording.times(e), row, model) for e, model in zip(found, models, strict=True)]
    return cells
