"""Energy models on boards: their order, the two that stand side by side, and ranks by energy.

The figure that papers print, operations in fp32, charges the quantised ANN for 8 bits and a spiking network
for 32. It never stands alone: beside it is the model that was asked for, or else operations with the
same widths on both sides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import energy
from leaderboard.ranking.boards import GROUPS, Board
from leaderboard.ranking.rows import Row
from leaderboard.records.record import Group

MATCHED = "operations-int8"  # the same widths on both sides


def ordered(names: Collection[str]) -> list[str]:
    """Models in the order of the registry, the reference first; then those it does not know."""
    known = list(energy.models())
    return [name for name in known if name in names] + sorted(set(names).difference(known))


def models_of(boards: Iterable[Board]) -> list[str]:
    """The reference, then every other model that some row has a figure for."""
    return ordered({energy.REFERENCE, *(name for b in boards for row in b.rows for name in row.final_energy)})


def side_by_side(model: str | None) -> tuple[str, str]:
    """The reference, and the model that stands beside it where `model` was asked for."""
    return energy.REFERENCE, MATCHED if model in (None, energy.REFERENCE) else str(model)


def has_figures(boards: Iterable[Board], model: str) -> bool:
    """Whether any row has a figure under a model."""
    return any(row.final_energy.get(model) is not None for board in boards for row in board.rows)


def by_energy(boards: Iterable[Board], model: str) -> list[Board]:
    """Boards with ranks by energy at parity under one model, least first, within groups.

    Rows that are not at parity, or have no figure under the model, follow in the order of the metric, without
    a rank. There are no ties: energies have no interval.
    """
    return [
        replace(board, rows=tuple(row for group in GROUPS for row in _ranked(board.rows, group, model)))
        for board in boards
    ]


def _ranked(rows: Sequence[Row], group: Group, model: str) -> list[Row]:
    def cost(row: Row) -> float:
        found = row.energy_at_parity.get(model)
        return float("inf") if found is None else found

    members = sorted((row for row in rows if row.group == group), key=cost)  # stable
    return [
        replace(
            row,
            rank=place if group != "baseline" and cost(row) < float("inf") else None,
            tied=False,
        )
        for place, row in enumerate(members, start=1)
    ]
