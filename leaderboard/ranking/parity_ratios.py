"""How many times fewer steps a recipe needs to parity than the slowest on its board.

Papers claim such ratios ("1/50 of the inference time"); here they come from records of the same network
on the same images. A recipe that never reached parity has no time, only a bound: the longest it was run.
Where there is one, the slowest takes at least as long as any of them, so every ratio is a lower bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board
from leaderboard.ranking.rows import CLOSE_PARITY_POINTS, PARITY_POINTS, Row

STEPS: dict[float, Callable[[Row], float | None]] = {
    PARITY_POINTS: lambda row: row.steps_within_1_point,
    CLOSE_PARITY_POINTS: lambda row: row.steps_within_half_point,
}


@dataclass(frozen=True)
class ParityRatio:
    """Time steps to parity of a row, and how often they go into those of the slowest."""

    label: str
    steps: float | None  # every step run; None: parity was not reached
    ratio: float | None  # None likewise
    at_least: bool  # a run ended before parity, so the slowest is slower than known

    def __str__(self) -> str:
        """How many times fewer steps, e.g. "≥ 16.0×"."""
        if self.ratio is None:
            return wording.NEVER
        return f"{'≥ ' if self.at_least else ''}{wording.times(self.ratio)}"


def parity_ratios(board: Board, points: float = PARITY_POINTS) -> list[ParityRatio]:
    """Compare every spiking row of a board with the slowest of them.

    Args:
        board: from `leaderboard.ranking.boards.rank`.
        points: parity within so many percentage points, 1 or 0.5.

    Returns:
        One entry per row that spikes, in the board's order; none where no row reached parity.

    Raises:
        ValueError: parity is not known for `points`.
    """
    if points not in STEPS:
        raise ValueError(f"parity is known within {' or '.join(map(str, STEPS))} points, not {points}")
    rows = [row for row in board.rows if row.alphabet != "none"]
    steps = [STEPS[points](row) for row in rows]
    if all(own is None for own in steps):
        return []
    slowest = max(row.final_t_total if own is None else own for row, own in zip(rows, steps, strict=True))
    open_ended = any(own is None for own in steps)
    return [
        ParityRatio(row.label, own, None if own is None else slowest / own, own is not None and open_ended)
        for row, own in zip(rows, steps, strict=True)
    ]
