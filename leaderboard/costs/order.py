"""Energy models on boards: their order, and the two that stand side by side.

The figure that papers print, operations in fp32, charges the quantised ANN for 8 bits and a spiking network
for 32. It never stands alone: beside it is the model that was asked for, or else operations with the
same widths on both sides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import energy
from leaderboard.ranking.boards import Board

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
