"""How many times longer one recipe takes to parity than another, on one board.

Papers claim such ratios ("1/50 of the inference time"); here they come from records of the same network
on the same images. A recipe that never reached parity has no time, only a bound: the longest it was
run, so the ratio is at least that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboard.ranking import Board
from leaderboard.rows import CLOSE_PARITY_POINTS, PARITY_POINTS, Row

_STEPS: dict[float, Callable[[Row], float | None]] = {
    PARITY_POINTS: lambda row: row.steps_within_1_point,
    CLOSE_PARITY_POINTS: lambda row: row.steps_within_half_point,
}


@dataclass(frozen=True)
class ParityRatio:
    """Time steps to parity of a row, and how often those of the reference go into them."""

    label: str
    steps: float | None  # None: not reached
    ratio: float | None  # None: the reference did not reach parity
    at_least: bool  # the row was not at parity when its longest run ended


def parity_ratios(board: Board, reference: str, points: float = PARITY_POINTS) -> list[ParityRatio]:
    """Compare every spiking row of a board with one of them.

    Args:
        board: from `leaderboard.ranking.rank`.
        reference: label of the row that others are divided by.
        points: parity within so many percentage points, 1 or 0.5.

    Returns:
        One entry per row that spikes, in the board's order, the reference included.

    Raises:
        ValueError: the board has no spiking row of that label, or parity is not known for `points`.
    """
    if points not in _STEPS:
        raise ValueError(f"parity is known within {' or '.join(map(str, _STEPS))} points, not {points}")
    rows = [row for row in board.rows if row.alphabet != "none"]
    known = {row.label: row for row in rows}
    if reference not in known:
        raise ValueError(f"board {board.title!r} has no recipe {reference!r}; it has {', '.join(known)}")
    steps_of = _STEPS[points]
    base = steps_of(known[reference])
    found = []
    for row in rows:
        steps = steps_of(row)
        longest = row.final_t if steps is None else steps
        found.append(ParityRatio(row.label, steps, None if not base else longest / base, steps is None))
    return found


def sentences(ratios: Sequence[ParityRatio], reference: str) -> list[str]:
    """Say each ratio in words, e.g. "opi: 64 steps, 4.0 times those of spicalib"."""
    said = []
    for one in ratios:
        if one.label == reference:
            continue
        steps = "parity not reached" if one.steps is None else f"{one.steps:g} steps"
        if one.ratio is None:
            said.append(f"{one.label}: {steps}; {reference} did not reach parity")
        else:
            bound = "at least " if one.at_least else ""
            said.append(f"{one.label}: {steps}, {bound}{one.ratio:.3g} times those of {reference}")
    return said
