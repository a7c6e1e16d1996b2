"""Whether the accuracy and the energy of a row are of one precision, and recipes measured in both.

A model with 8-bit weights charges a network that has them; its accuracy is that of a run with
`precision: int8`. Where a row was measured otherwise, its counts are charged all the same, and the figure
carries a mark. The quantised ANN has 8-bit weights wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import energy
from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board
from leaderboard.ranking.rows import Row

MARK = "‡"
LEGEND = (
    f"{MARK} accuracy and energy of unlike precision: weights of another width were measured than the model "
    "charges. precision: int8 measures what models with 8-bit weights charge."
)
PAIRS_HEADING = "The same recipe with weights in float32 and in int8"
PAIRS_EXPLANATION = (
    "Each energy beside the accuracy of its own precision: operations in 32 bits beside float32 weights, "
    "operations with 8-bit weights beside int8. Energies are at 1-point parity, × the ANN's in 32 bits."
)

_BITS = {"float32": 32, "float64": 64, "int16": 16, "int8": 8}


def measured_bits(row: Row) -> int | None:
    """Width of the weights that a row was measured with; None if unknown, and for the quantised ANN."""
    if row.alphabet == "none":
        return None
    found = {_BITS.get(record.provenance.precision) for record in row.records}
    return found.pop() if len(found) == 1 else None


@cache
def charged_bits(model: str) -> int | None:
    """Width of the weights that a model charges a spiking network for; None: no such model here."""
    try:
        return energy.by_name(model).spiking_weight_bits
    except energy.UnknownModelError:  # of a record by a SpikeMark that had more models
        return None


def unlike(row: Row, model: str) -> bool:
    """Whether a model charges weights of another width than the row was measured with, as far as is known."""
    measured, charged = measured_bits(row), charged_bits(model)
    return measured is not None and charged is not None and measured != charged


def mark(row: Row, model: str) -> str:
    """The mark of a figure of unlike precision, or nothing."""
    return MARK if unlike(row, model) and row.final_energy.get(model) is not None else ""


def marked(text: str, row: Row, model: str) -> str:
    """A figure of a row under a model as text, marked where it has to be; what is no figure stays."""
    return text if text in (wording.NEVER, wording.UNKNOWN) else text + mark(row, model)


def parity_energies(row: Row, models: Sequence[str]) -> str:
    """Energies at parity under several models, without the sign: "0.417 / 0.046‡"."""
    found = [
        marked(wording.parity_energy(row, row.energy_at_parity.get(model)).removesuffix("×"), row, model)
        for model in models
    ]
    return wording.NEVER if set(found) == {wording.NEVER} else " / ".join(found)


def any_unlike(boards: Iterable[Board], models: Sequence[str]) -> bool:
    """Whether some figure at parity carries the mark."""
    rows = (row for board in boards for row in board.rows)
    return any(row.energy_at_parity.get(m) is not None and unlike(row, m) for row in rows for m in models)


def pair_table(board: Board) -> tuple[list[str], list[list[str]]] | None:
    """Header and lines: recipes of a board that were measured in both; None where there is none."""
    float32, int8 = (
        {_recipe(row): row for row in board.rows if _is(row, each)} for each in ("float32", "int8")
    )
    both = [recipe for recipe in float32 if recipe in int8]
    if not both:
        return None
    header = ["recipe", "group"]
    for precision, model in (("float32", energy.REFERENCE), ("int8", "operations-int8")):
        header += [f"{board.metric}, {precision}", f"T to 1.0, {precision}", f"{model}, {precision}"]
    lines = []
    for recipe in both:
        lines.append([wording.plain(recipe[0]), recipe[1]])
        for row, model in ((float32[recipe], energy.REFERENCE), (int8[recipe], "operations-int8")):
            lines[-1] += [
                wording.percent(row.metric),
                wording.steps(row, row.steps_within_1_point),
                wording.parity_energy(row, row.energy_at_parity.get(model)),
            ]
    return header, lines


def _is(row: Row, precision: str) -> bool:
    return row.alphabet != "none" and all(r.provenance.precision == precision for r in row.records)


def _recipe(row: Row) -> tuple[str, str]:
    """Label of the recipe before rows were told apart, and its group."""
    return row.records[0].method.label, row.group
