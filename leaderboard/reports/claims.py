"""What a board says of a published claim, in sentences that are drawn from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from leaderboard.costs.order import models_of
from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board
from leaderboard.ranking.parity_ratios import ParityRatio, parity_ratios
from leaderboard.ranking.rows import PARITY_POINTS
from leaderboard.ranking.wording import in_markdown


def fewer_steps(board: Board, claimed: float) -> list[str]:
    """Whose steps to parity go into those of the slowest recipe `claimed` times or more, and whose do not."""
    entries = parity_ratios(board)
    reached = [entry for entry in entries if entry.ratio is not None and entry.ratio >= claimed]
    behind = [entry for entry in entries if entry.ratio is not None and entry.ratio < claimed]
    never = [entry for entry in entries if entry.ratio is None]
    found = [f"- At parity in a {claimed:g}th of the slowest recipe's steps or fewer: {_named(reached)}."]
    found.append(f"- At parity, but not so soon: {_named(behind)}.")
    if never:
        found.append(
            f"- Not at parity in the steps that were run: {_named(never)}; so ratios are lower bounds."
        )
    return found


def less_energy(board: Board, claimed: float) -> list[str]:
    """Who is at parity for `claimed` times the ANN's energy or less, under each energy model of a board."""
    rows = [row for row in board.rows if row.alphabet != "none"]
    found = []
    for model in models_of([board]):
        costs = {row.label: row.energy_at_parity.get(model) for row in rows}
        within = {label: cost for label, cost in costs.items() if cost is not None and cost <= claimed}
        cheapest_first = sorted(within.items(), key=itemgetter(1))
        named = [f"`{in_markdown(label)}` ({wording.times(cost)})" for label, cost in cheapest_first]
        found.append(f"`{model}`: {', '.join(named) or 'nobody'}.")
    head = f"Within {PARITY_POINTS:g} point, for {claimed:g} times the ANN's energy or less:"
    return [head, "", *(f"- {sentence}" for sentence in found)]


def _named(entries: Sequence[ParityRatio]) -> str:
    names = [f"`{in_markdown(entry.label)}`{f' ({entry})' if entry.ratio else ''}" for entry in entries]
    return ", ".join(names) or "nobody"
