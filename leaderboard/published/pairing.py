"""Which published figures belong beside a board: same task, data set, network and metric, no other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from leaderboard.published.curves import PublishedCurve, same_name
from leaderboard.ranking.boards import Board
from leaderboard.ranking.rows import PooledPoint


@dataclass(frozen=True)
class Comparison:
    """One published figure, and what the same recipe reached here at the same T."""

    curve: PublishedCurve
    t: int | None  # as the paper counts; None: not stated
    measured: PooledPoint | None  # None: the recipe was not measured here at this T
    measured_gap: float | None  # percentage points from the ANN that it started from here

    @property
    def metric(self) -> float:
        """The published metric, per cent."""
        return self.curve.at[self.t]


def beside(board: Board, curves: Iterable[PublishedCurve]) -> list[Comparison]:
    """Published figures of a board's pairing, recipe by recipe.

    A measurement stands beside a figure only if its recipe is the preset of that name, unchanged, and
    it was read out at the paper's T.
    """
    datasets, networks = _names(board)
    found: list[Comparison] = []
    for curve in curves:
        paired = (
            curve.metric == board.metric
            and same_name(curve.task, board.task)
            and any(same_name(curve.dataset, name) for name in datasets)
            and any(same_name(curve.network, name) for name in networks)
        )
        if paired:
            found += [_compared(curve, t, board) for t in curve.at]
    return sorted(found, key=lambda each: (each.curve.label, each.curve.source, each.t or 0))


def _compared(curve: PublishedCurve, t: int | None, board: Board) -> Comparison:
    for row in board.rows:
        if row.method == curve.recipe == row.label:
            for point in row.curve:
                if point.t == t:
                    return Comparison(curve, t, point, 100 * (point.metric - row.ann_metric))
    return Comparison(curve, t, None, None)


def _names(board: Board) -> tuple[set[str], set[str]]:
    """Names of the data set and of the network: those shown, and those of the registry."""
    datasets, networks = {board.dataset}, {board.network}
    for record in (record for row in board.rows for record in row.records):
        match record.config:
            case {"ann": {"dataset": {"name": str(dataset)}, "network": {"name": str(network)}}}:
                datasets.add(dataset)
                networks.add(network)
    return datasets, networks
