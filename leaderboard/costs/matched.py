"""Recipes under matched precision: energies of 8-bit models from int8 runs, all others from float32 runs.

Where a recipe was run in one precision alone, its counts are charged under the models of the other, too,
and these figures carry the mark of `leaderboard.costs.precision`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leaderboard.costs.precision import charged_bits, marked, measured_bits
from leaderboard.costs.verdicts import EnergyVerdict
from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board
from leaderboard.ranking.rows import Row
from leaderboard.records.record import Group


@dataclass(frozen=True)
class Matched:
    """One recipe on one board, in the precisions that it was measured in."""

    label: str
    group: Group
    rows: tuple[Row, ...]  # of the same recipe; the widest weights first

    def row(self, model: str) -> Row:
        """The row that a model charges: of its own width, or else the first."""
        charged = charged_bits(model)
        return next((row for row in self.rows if measured_bits(row) == charged), self.rows[0])

    @property
    def spikes(self) -> bool:
        """Whether it is no quantised ANN."""
        return self.rows[0].alphabet != "none"

    @property
    def quantises(self) -> bool:
        """Whether it sends one value of several levels, once: quantisation, to be compared with that."""
        first = self.rows[0]
        return self.spikes and first.max_per_step > 1 and first.steps_within_1_point == 1

    @property
    def is_at_parity(self) -> bool:
        """Whether it comes within 1 point in some precision."""
        return any(row.steps_within_1_point is not None for row in self.rows)

    def energy(self, model: str) -> float | None:
        """At 1-point parity, as a multiple of the ANN's; None: not at parity, or no figure."""
        return self.row(model).energy_at_parity.get(model)

    def said(self, model: str) -> str:
        """The same as text, marked where accuracy and energy are of unlike precision."""
        row = self.row(model)
        return marked(wording.parity_energy(row, self.energy(model)).removesuffix("×"), row, model)

    @property
    def steps(self) -> str:
        """Time steps to 1-point parity: of each precision, where they differ."""
        found = list(dict.fromkeys(wording.steps(row, row.steps_within_1_point) for row in self.rows))
        return " / ".join(found)


def matched(board: Board) -> list[Matched]:
    """Every recipe of a board, in the order of its first row."""
    rows: dict[tuple[str, Group], dict[int, Row]] = {}
    for row in board.rows:
        of_precision = rows.setdefault((row.records[0].method.label, row.group), {})
        of_precision.setdefault(measured_bits(row) or 0, row)
    return [
        Matched(label, group, tuple(found[bits] for bits in sorted(found, reverse=True)))
        for (label, group), found in rows.items()
    ]


def by_cost(recipes: Iterable[Matched], model: str) -> list[Matched]:
    """The cheapest at parity under a model first; at the end what quantises, spiking or not, side by side."""

    def place(each: Matched) -> tuple[bool, bool, bool, float]:
        value = each.energy(model)
        return not each.spikes, each.quantises, value is None, value or 0.0

    return sorted(recipes, key=place)


def verdict(recipe: Matched, models: Sequence[str], opponent: Matched | None = None) -> EnergyVerdict:
    """Judge a recipe at parity against the ANN (None) or another, each under matched precision."""
    cheaper: list[str] = []
    dearer: list[str] = []
    for model in models:
        ours, theirs = recipe.energy(model), 1.0 if opponent is None else opponent.energy(model)
        if ours is not None and theirs is not None:
            (cheaper if ours < theirs else dearer).append(marked(model, recipe.row(model), model))
    return EnergyVerdict(tuple(cheaper), tuple(dearer))


def opponent_of(recipes: Sequence[Matched]) -> Matched | None:
    """The quantised ANN at parity; of several the one with the best metric."""
    found = (each for each in recipes if not each.spikes and each.is_at_parity)
    return max(found, key=lambda each: each.rows[0].metric, default=None)


def at_most(recipe: Matched, models: Sequence[str], share: float) -> EnergyVerdict:
    """Models under which a recipe takes at most a share of the ANN's energy, and the others."""
    figures = [(model, recipe.energy(model)) for model in models]
    names = {model: marked(model, recipe.row(model), model) for model in models}
    return EnergyVerdict(
        tuple(names[m] for m, value in figures if value is not None and value <= share),
        tuple(names[m] for m, value in figures if value is not None and value > share),
    )
