"""Boards in one line each."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.cells import cell_len
from rich.console import Console

from leaderboard.ranking.boards import rank
from leaderboard.ranking.orders import Order
from leaderboard.records.record import Record
from leaderboard.reports.overview import overview
from leaderboard.reports.tables import render

Make = Callable[..., Record]


@pytest.fixture
def records(make: Make) -> list[Record]:
    return [
        make({1: 0.5, 32: 0.895}, label="opi", ann=0.9),
        make({1: 0.5, 32: 0.6}, label="maxnorm", ann=0.9),
        make({1: 0.5, 32: 0.6}, label="slow", ann=0.9, network="vgg", checkpoint="b" * 64),
        make({1: 0.9, 32: 0.9}, label="trained", ann=0.9, group="retrained", task="detection"),
    ]


def test_a_board_has_one_line_with_the_leader_of_each_group(records: list[Record]) -> None:
    lines = overview(rank(records), 100)
    heads, rule, *body = lines
    assert heads.split("  ")[0] == "board"
    assert "best multi-level" not in heads  # no board has such a row
    assert set(rule) == {"─"}
    assert [line.split() for line in body] == [
        ["digits", "·", "net", "(classification)", "90.00", "opi", "32"],
        ["digits", "·", "vgg", "(classification)", "90.00", "slow", "—"],
        ["digits", "·", "net", "(detection)", "90.00", "trained", "1"],
    ]
    assert body[2].index("trained") == heads.index("best retrained")


def test_figures_are_those_of_the_order(records: list[Record]) -> None:
    order = Order("accuracy")
    body = overview(rank(records, order=order), 100, order)[2:]
    assert "opi 89.50 %" in body[0]


@pytest.mark.parametrize("width", [80, 120])
def test_long_names_are_folded(make: Make, width: int) -> None:
    long = [
        make(
            {1: 0.89}, label=f"a recipe of a long name {n}", network=f"network_{n}_" * 4, group=group, ann=0.9
        )
        for n in range(3)
        for group in ("binary", "multi-level")
    ]
    assert max(map(cell_len, overview(rank(long), width))) <= width


def test_others_follow_the_tables(records: list[Record]) -> None:
    first, *others = rank(records)
    console = Console(file=io.StringIO(), width=100, force_terminal=False, no_color=True)
    render([first], console, others=others)
    assert isinstance(console.file, io.StringIO)
    _, after = console.file.getvalue().split("Also ranked, with what leads by time steps to parity:")
    assert "vgg" in after
    assert "maxnorm" not in after
