"""Comparisons in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import energy
from leaderboard.comparison.pairs import Pair
from leaderboard.ranking import wording
from leaderboard.ranking.rows import Row
from leaderboard.statistics.intervals import Difference


def render_pair(pair: Pair, console: Console) -> None:
    """Print two recipes: settings that differ, the metric at every read-out, and what both cost."""
    console.print()
    console.print(Text(wording.plain(pair.title), style="bold"))
    heads = [_label(pair.first), _label(pair.second)]
    differing = _table("differs in", *heads)
    for change in pair.changes:
        differing.add_row(*(Text(wording.plain(text)) for text in (change.name, change.first, change.second)))
    if pair.changes:
        console.print(differing)
    else:
        console.print("The same configuration.")
    readings = _table("t", *heads, "second − first", "95 %", "")
    for each in pair.readings:
        readings.add_row(
            str(each.t),
            f"{wording.percent(each.first)} %",
            f"{wording.percent(each.second)} %",
            *_difference_cells(each.difference, each.second - each.first)[:2],
            Text(_better(pair, each.difference)),
        )
    console.print(readings)
    costs = _table("", *heads)
    for name, cells in _costs(pair.first, pair.second):
        costs.add_row(name, *cells)
    console.print(costs)
    console.print(Text(verdicts_over_time(pair)))
    console.print(Text(verdict(pair)))


def render_others(pairs: Sequence[Pair], console: Console) -> None:
    """Print two recipes on further boards: one sentence each, on all read-outs."""
    console.print()
    console.print("Both stand on other boards too:")
    for pair in pairs:
        console.print(Text(f"{wording.plain(pair.title)}: {verdicts_over_time(pair)}"))


def render_folders(
    pairs: Sequence[Pair], only_first: Sequence[str], only_second: Sequence[str], console: Console
) -> None:
    """Print two results folders: one line a row that both have, then what only one has."""
    for title in dict.fromkeys(pair.title for pair in pairs):
        console.print()
        console.print(Text(wording.plain(title), style="bold"))
        table = _table("recipe", "first", "second", "points", "95 %", "", "T parity", "energy × ANN")
        for pair in (each for each in pairs if each.title == title):
            first, second = pair.first, pair.second
            table.add_row(
                _label(first),
                wording.percent(first.metric),
                wording.percent(second.metric),
                *_difference_cells(pair.final, second.metric - first.metric),
                _arrow(*(wording.steps(row, row.steps_within_1_point) for row in (first, second))),
                _arrow(*(_energy(row, energy.REFERENCE) for row in (first, second))),
            )
        console.print(table)
    counted = [pair for pair in pairs if pair.final is not None and pair.final.excludes_zero]
    same = sum(not pair.changes for pair in pairs)
    console.print()
    console.print(
        f"{len(pairs)} rows in both, {same} of them with the same configuration, commit and software."
    )
    console.print(f"{len(counted)} differ by more than the test images explain (95 %).")
    for name, titles in (("first", only_first), ("second", only_second)):
        if titles:
            console.print(f"Only in the {name}:")
            for one in titles:
                console.print(Text(f"  {wording.plain(one)}"))


def verdict(pair: Pair) -> str:
    """One sentence: which is better at its last read-out, by how much, and whether that counts."""
    difference = pair.final
    names = [wording.plain(row.label) for row in (pair.first, pair.second)]
    if difference is None:
        return "They were not measured on the same test images: the metrics cannot be paired."
    if not difference.excludes_zero:
        return (
            "A tie: at their last read-outs the test images do not tell them apart "
            f"({wording.difference_range(difference)} points)."
        )
    better, worse = (names[1], names[0]) if difference.mean > 0 else (names[0], names[1])
    ahead = difference if difference.mean > 0 else difference.turned
    return (
        f"{better} is better than {worse} by {100 * ahead.mean:.2f} points "
        f"({wording.difference_range(ahead)}) at their last read-outs."
    )


def verdicts_over_time(pair: Pair) -> str:
    """One sentence: at which time steps which of the two is better, and where nobody can tell."""
    found: dict[str, list[str]] = {}
    for each in pair.readings:
        found.setdefault(_better(pair, each.difference), []).append(str(each.t))
    told = [f"{what} at t = {', '.join(times)}" for what, times in found.items()]
    return f"{'; '.join(told)}." if told else "They have no read-out in common."


def _better(pair: Pair, difference: Difference | None) -> str:
    if difference is None:
        return "not paired"
    if not difference.excludes_zero:
        return "a tie"
    return f"{wording.plain((pair.second if difference.mean > 0 else pair.first).label)} is better"


def _costs(first: Row, second: Row) -> list[tuple[str, list[str]]]:
    rows = (first, second)
    lines = [
        ("last T", [wording.total_steps(row.final_t_total, row.final_averaged) for row in rows]),
        ("T to 1 point", [wording.steps(row, row.steps_within_1_point) for row in rows]),
        ("T to ½ point", [wording.steps(row, row.steps_within_half_point) for row in rows]),
    ]
    models = sorted(set(first.energy_at_parity) & set(second.energy_at_parity))
    lines += [(f"energy at parity, {m}", [_energy(row, m) for row in rows]) for m in models]
    return [
        *lines,
        ("SynOps at last T", [f"{row.synops:,.0f}" for row in rows]),
        ("firing rate", [wording.rate(row.firing_rate) for row in rows]),
    ]


def _difference_cells(difference: Difference | None, plain: float) -> tuple[str, str, str]:
    if difference is None:
        return wording.points(100 * plain), wording.UNKNOWN, "not paired"
    bounds = f"{wording.points(100 * difference.low)} to {wording.points(100 * difference.high)}"
    return wording.points(100 * difference.mean), bounds, "differs" if difference.excludes_zero else "tie"


def _energy(row: Row, model: str) -> str:
    return wording.parity_energy(row, row.energy_at_parity.get(model))


def _arrow(first: str, second: str) -> str:
    return first if first == second else f"{first} → {second}"


def _label(row: Row) -> Text:
    return Text(wording.plain(row.label))


def _table(*heads: str | Text) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for index, head in enumerate(heads):
        table.add_column(head, overflow="fold", justify="left" if index == 0 else "right")
    return table
