"""Who leads each group of a board, and by how much, in a sentence.

A margin is that to the first row of the next rank: what shares a rank is not told apart by the test images.
"""

from __future__ import annotations

from collections.abc import Sequence

from leaderboard.ranking import wording
from leaderboard.ranking.boards import GROUPS, Board, longest_of
from leaderboard.ranking.orders import DEFAULT, Order
from leaderboard.ranking.rows import Row
from leaderboard.records.record import Group
from leaderboard.statistics.figures import snn_minus_snn

MOST_NAMES = 4
NEVER = "not at parity"


def winners(board: Board, order: Order = DEFAULT, limit: int | None = None) -> dict[Group, str]:
    """Group -> a sentence; groups without their leader, as on a part of a board, are left out.

    Args:
        board: ranked by `order`.
        order: what ranks its rows.
        limit: T up to which areas were taken; None: the longest run of the board.
    """
    longest = limit or longest_of(board)
    found: dict[Group, str] = {}
    for group in GROUPS:
        rows = [row for row in board.rows if row.group == group and row.rank is not None]
        if any(row.rank == 1 for row in rows):
            said = _said(rows, order, longest).removesuffix(".")
            found[group] = f"{wording.GROUP_TITLES[group].capitalize()}: {said}."
    return found


def leading(board: Board, order: Order = DEFAULT, limit: int | None = None) -> dict[Group, str]:
    """Group -> its first row and the figure it ranks by, e.g. "opi 16"; "=" where others share its rank.

    Arguments as for `winners`.
    """
    longest = limit or longest_of(board)
    found: dict[Group, str] = {}
    for row in board.rows:
        if row.rank == 1 and row.group not in found:
            value = order.value(row, longest)
            figure = wording.NEVER if value is None else _bare(order, value)
            found[row.group] = f"{wording.plain(row.label)} {figure}{' =' if row.tied else ''}"
    return found


def _said(rows: Sequence[Row], order: Order, limit: int) -> str:
    first = [row for row in rows if row.rank == 1]
    later = [row for row in rows if row.rank != 1]
    leader, *equals = first
    value = order.value(leader, limit)
    if value is None:  # no figure to rank by: nobody is at parity
        return f"nobody is at parity; {_names(first)} {_is(first)} nearest, {_ends(first)}"
    verb = "takes" if order.kind in ("parity", "energy") else "has"
    said = f"{_names([leader])} {verb} {_figure(order, value)}"
    if equals:
        known = [(row, order.value(row, limit)) for row in equals]
        names = [f"{_names([row])} ({NEVER if one is None else _bare(order, one)})" for row, one in known]
        return f"{said}; the test images do not tell it from {_listed(names)}"
    return f"{said}, {_margin(leader, later[0], order, limit) if later else 'alone in its group'}"


def _figure(order: Order, value: float) -> str:
    if order.kind == "parity":
        return f"{_bare(order, value)} time step{'' if value == 1 else 's'} to parity"
    if order.kind == "energy":
        return f"{_bare(order, value)} the ANN's energy at parity ({order.model})"
    return _bare(order, value) + ("" if order.kind == "accuracy" else " in the mean over T = 1, 2, 4, ...")


def _bare(order: Order, value: float) -> str:
    if order.kind == "parity":
        return wording.time_steps(value)
    return wording.times(value) if order.kind == "energy" else f"{wording.percent(value)} %"


def _margin(first: Row, second: Row, order: Order, limit: int) -> str:
    name = wording.plain(second.label)
    ours, theirs = order.value(first, limit), order.value(second, limit)
    if theirs is None or ours is None:
        return "the only one at parity"
    if order.kind in ("accuracy", "area"):
        text = f"{wording.points(100 * (ours - theirs))} points against {name}"
        difference = snn_minus_snn(first.records, second.records, (first.until, second.until))
        if order.kind == "area" or difference is None:
            return text
        return f"{text} ({wording.difference_range(difference)})"
    if theirs > ours:
        return (
            f"{wording.times(theirs / ours)} fewer than {name}"
            if order.kind == "parity"
            else (f"{wording.times(theirs / ours)} less than {name}")
        )
    one, other = (row.energy_at_parity.get(order.model) for row in (first, second))
    if order.kind == "parity" and one and other and other > one:
        return f"as {name}, for {wording.times(other / one)} less energy there"
    return f"as {name}, with the better metric"


def _names(rows: Sequence[Row]) -> str:
    return _listed([wording.plain(row.label) for row in rows])


def _listed(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMES:
        return f"{', '.join(names[:MOST_NAMES])} and {len(names) - MOST_NAMES} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _is(rows: Sequence[Row]) -> str:
    return "is" if len(rows) == 1 else "are"


def _ends(rows: Sequence[Row]) -> str:
    gaps = [row.gap_points for row in rows]
    low, high = wording.points(min(gaps)), wording.points(max(gaps))
    return f"{low} points from its ANN" if low == high else f"{low} to {high} points from the ANN"
