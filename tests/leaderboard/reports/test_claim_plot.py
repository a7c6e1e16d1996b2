"""Pictures of claims show the figures of the board, and where the claim would be true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from leaderboard.ranking.boards import Board, rank
from leaderboard.records.record import Record
from leaderboard.reports.claim_plot import draw_fewer_steps, draw_less_energy

Make = Callable[..., Record]


@pytest.fixture
def board(make: Make) -> Board:
    records = [
        make({1: 0.9}, label="at once", pj_per_step=460.0),  # 460 pJ of the ANN's 4600
        make({1: 0.1, 8: 0.9}, label="later"),
        make({1: 0.1, 16: 0.2}, label="never", group="multi-level"),
        make({1: 0.9}, label="ptq", group="baseline"),
    ]
    (found,) = rank(records)
    return found


def points(axes: Any, marker: str) -> list[tuple[float, float]]:
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes.lines
        if line.get_marker() == marker and len(line.get_xdata())
    ]


def test_steps_to_parity_stand_in_their_order_beside_the_claim(board: Board) -> None:
    figure = draw_fewer_steps(board, 4)
    assert figure is not None
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["at once", "later", "never"]
    assert points(axes, "o") == [(1, 0), (8, 1)]
    assert points(axes, ">") == [(16, 2)]  # not at parity when its run ended
    dashed = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"]
    assert dashed == [4]  # a quarter of the 16 steps of the slowest


def test_energies_at_parity_stand_beside_the_claim(board: Board) -> None:
    figure = draw_less_energy(board, 0.25)
    assert figure is not None
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["at once", "later"]  # the cheapest first, nobody without parity, no baseline
    drawn = {line.get_label(): line.get_xdata()[0] for line in axes.lines}
    assert drawn["at once"] == pytest.approx(0.1)
    assert drawn["later"] == pytest.approx(800 / 4600)
    assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"] == [0.25]


def test_a_board_without_parity_has_no_picture(make: Make) -> None:
    (board,) = rank([make({1: 0.1}, label="never")])
    assert draw_fewer_steps(board, 50) is None
    assert draw_less_energy(board, 0.492) is None
