"""Where the rows of a board stand under one limit of time steps, in every order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboard.page.details import in_percent, rounded
from leaderboard.page.shapes import PageStanding
from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board, longest_of, ordered_by
from leaderboard.ranking.orders import Order, area_of
from leaderboard.ranking.parity_intervals import Bounds
from leaderboard.ranking.rows import CLOSE_PARITY_POINTS, PARITY_POINTS, Row
from leaderboard.ranking.winners import winners
from leaderboard.records.record import Group


@dataclass(frozen=True)
class Stage:
    """A board under one limit."""

    rows: dict[str, Row]  # by key
    places: dict[str, list[tuple[int | None, bool]]]  # by key: rank and tie, by order
    winners: list[dict[Group, str]]  # by order: a sentence for each group
    limit: int

    @classmethod
    def of(cls, board: Board, orders: Sequence[Order], limit: int | None) -> Stage:
        """Rank a board in every order; None: without a limit."""
        ranked = [ordered_by([board], order)[0] for order in orders]
        places: dict[str, list[tuple[int | None, bool]]] = {key_of(row): [] for row in board.rows}
        for each in ranked:
            for row in each.rows:
                places[key_of(row)].append((row.rank, row.tied))
        longest = limit or longest_of(board)
        for row in board.rows:  # what was drawn is at hand for one limit at a time
            for points in (PARITY_POINTS, CLOSE_PARITY_POINTS):
                row.resampled.interval(points, row.until)
        said = [winners(each, order, longest) for each, order in zip(ranked, orders, strict=True)]
        return cls({key_of(row): row for row in board.rows}, places, said, longest)

    def standing(self, row: Row, models: Sequence[str]) -> PageStanding | None:
        """Where a row stands; None where it was not read out within the limit."""
        stage = self.rows.get(key_of(row))
        if stage is None:
            return None
        one, half = (stage.resampled.interval(p, stage.until) for p in (PARITY_POINTS, CLOSE_PARITY_POINTS))
        energies = {} if one is None else one.energy
        places = self.places[key_of(row)]
        return PageStanding(
            t=stage.curve[-1].t if stage.until is None else stage.until,
            ranks=[rank for rank, _ in places],
            tied=[tied for _, tied in places],
            area=in_percent(area_of(stage, self.limit)),
            steps_one=rounded(stage.steps_within_1_point, 4, wording.time_steps),
            steps_one_bounds=None if one is None else _bounds(one.steps, wording.time_steps),
            steps_half=rounded(stage.steps_within_half_point, 4, wording.time_steps),
            steps_half_bounds=None if half is None else _bounds(half.steps, wording.time_steps),
            energy=[rounded(stage.energy_at_parity.get(model), 3, wording.times) for model in models],
            energy_bounds=[
                _bounds(energies[model], wording.times) if model in energies else None for model in models
            ],
        )


def key_of(row: Row) -> str:
    """What a row is called in the page's data and in its address."""
    return row.records[0].cell_id


def _bounds(bounds: Bounds, write: Callable[[float], str]) -> list[float | None]:
    return [rounded(bounds.low, 3, write), rounded(bounds.high, 3, write)]
