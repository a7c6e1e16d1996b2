"""Under which energy models a recipe costs less than its opponents, and under which it does not.

A claim about energy that turns with the model is no finding about the recipe. So every claim is judged
under all models at once: recipes at 1-point parity against the ANN, and against the best quantised ANN of
the board at its own 1-point parity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.costs.order import models_of
from leaderboard.costs.precision import marked
from leaderboard.ranking.boards import Board
from leaderboard.ranking.rows import Row

HEADING = "Verdicts under every energy model"
EXPLANATION = (
    "Of recipes at 1-point parity: the energy models under which each costs less than the ANN, and less than "
    "the quantised ANN at its own 1-point parity. A verdict that holds under all models is one on the "
    "recipe, any other is one on the model."
)


@dataclass(frozen=True)
class EnergyVerdict:
    """Models under which something costs less than an opponent, and the others that were measured."""

    cheaper: tuple[str, ...]  # marked where accuracy and energy are of unlike precision
    dearer: tuple[str, ...]

    def __str__(self) -> str:
        measured = len(self.cheaper) + len(self.dearer)
        if not measured:
            return "not measured"
        if not self.dearer:
            return f"all {measured}"
        if not self.cheaper:
            return f"none of {measured}"
        if len(self.cheaper) <= len(self.dearer):
            return f"{len(self.cheaper)} of {measured}: {', '.join(self.cheaper)}"
        return f"{len(self.cheaper)} of {measured}: not {', '.join(self.dearer)}"


def quantised_ann(board: Board) -> Row | None:
    """The quantised ANN of a board, if it is at parity; of several the one with the best metric."""
    found = (row for row in board.rows if row.alphabet == "none" and row.steps_within_1_point is not None)
    return max(found, key=lambda row: row.metric, default=None)


def verdict(row: Row, models: Sequence[str], opponent: Row | None = None) -> EnergyVerdict:
    """Judge a row at parity.

    Args:
        row: a recipe.
        models: the energy models.
        opponent: another row at parity; None: the ANN.
    """
    cheaper: list[str] = []
    dearer: list[str] = []
    for model in models:
        theirs = 1.0 if opponent is None else opponent.energy_at_parity.get(model)
        ours = row.energy_at_parity.get(model)
        if ours is not None and theirs is not None:
            (cheaper if ours < theirs else dearer).append(marked(model, row, model))
    return EnergyVerdict(tuple(cheaper), tuple(dearer))


def at_parity(board: Board) -> list[Row]:
    """Rows that spike and are at 1-point parity, cheapest first under the first model, within groups."""
    first = models_of([board])[0]
    rows = [row for row in board.rows if row.alphabet != "none" and row.steps_within_1_point is not None]
    groups = list(dict.fromkeys(row.group for row in rows))
    return sorted(rows, key=lambda row: (groups.index(row.group), row.energy_at_parity.get(first) or 0.0))
