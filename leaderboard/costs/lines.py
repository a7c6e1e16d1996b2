"""Where the energy goes: neurons, functions, operations, memories, as shares of what a recipe costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import reduce
from operator import add

import energy
from energy import Breakdown, NotMeasured
from leaderboard.costs.matched import Matched, by_cost, matched
from leaderboard.costs.precision import marked
from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board
from leaderboard.ranking.rows import PARITY_POINTS, Row
from leaderboard.statistics.energies import network_of, parts_of
from leaderboard.statistics.figures import final_point, parity_point

HEADING = "Where the energy goes"
LINES = tuple(line.name for line in fields(Breakdown))
SHOWN = "memory-int8"  # where nobody asked for a model: all lines, and the widths of both sides are equal


def explanation(model: str) -> str:
    """What the table says, for one model."""
    left_out = energy.by_name(model).leaves_out
    return (
        f"Shares of the energy at 1-point parity under `{model}`, in %, and all of it in µJ an image. "
        f"Left out by the model: {left_out}."
    )


def lines_table(board: Board, model: str) -> tuple[list[str], list[list[str]]] | None:
    """Header and lines: the ANN, then every recipe at parity; None where no record has the counts."""
    return table_of([each for each in matched(board) if each.is_at_parity], model)


def table_of(recipes: Sequence[Matched], model: str) -> tuple[list[str], list[list[str]]] | None:
    """The same of some recipes."""
    lines = []
    for recipe in by_cost(recipes, model):
        row = recipe.row(model)
        whole = _spent(row, model)
        if whole is not None:
            lines.append([recipe.label, *_cells(whole, row, model)])
    if not lines:
        return None
    record = recipes[0].rows[0].records[0]
    ann = reduce(add, energy.by_name(model).ann(network_of(record)).values())
    header = ["recipe", *(name.replace("inputs_outputs", "inputs, outputs") for name in LINES), "µJ"]
    return header, [["ANN", *_cells(ann)], *lines]


def _spent(row: Row, model: str) -> Breakdown | None:
    """Of the first run, at parity; None where it is not there, or lacks counts."""
    record = row.records[0]
    point = parity_point(record, PARITY_POINTS)
    if point is None and row.alphabet == "none":
        point = final_point(record)
    if point is None:
        return None
    try:
        return reduce(add, parts_of(record, point, model).values())
    except (NotMeasured, energy.UnknownModelError):
        return None


def _cells(whole: Breakdown, row: Row | None = None, model: str = "") -> list[str]:
    total = wording.times(whole.total / 1e6).removesuffix("×")
    all_of_it = whole.total
    if not all_of_it:
        return [*[wording.UNKNOWN] * len(LINES), total]
    shares = [f"{100 * getattr(whole, name) / all_of_it:.1f}" for name in LINES]
    return [*shares, total if row is None else marked(total, row, model)]
