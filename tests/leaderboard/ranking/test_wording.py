from collections.abc import Callable
from dataclasses import replace

import pytest

from leaderboard.ranking import wording
from leaderboard.ranking.boards import rank
from leaderboard.ranking.rows import row_of
from leaderboard.records.record import Record
from leaderboard.statistics.intervals import Interval

Make = Callable[..., Record]


@pytest.mark.parametrize(
    ("alphabet", "most", "words"),
    [
        ("binary", 1, "binary"),
        ("burst", 5, "burst ≤5"),
        ("signed", 1, "signed ±1"),
        ("graded", 15, "graded ≤15"),
        ("weighted", 128, "weighted"),
        ("real", 5, "real"),
        ("none", 0, "no spikes"),
    ],
)
def test_spikes(make: Make, alphabet: str, most: int, words: str) -> None:
    row = row_of([make(method_alphabet=alphabet, method_max_per_step=most)])
    assert wording.spikes(row) == words


def test_control_characters_cannot_reach_a_terminal() -> None:
    assert wording.plain("a\x1b[2Jb\nc\u202ed ≤ é") == "a�[2Jb�c�d ≤ é"


@pytest.mark.parametrize(
    ("value", "words"),
    [(-0.5, "−0.50"), (0.25, "+0.25"), (-0.001, "0.00"), (0.0, "0.00"), (-12.345, "−12.35")],
)
def test_points(value: float, words: str) -> None:
    assert wording.points(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(16, "16"), (16.0, "16"), (5.4, "5.4"), (5.4375, "5.4"), (15.97, "16"), (4096.0, "4096")],
)
def test_time_steps(value: float, words: str) -> None:
    assert wording.time_steps(value) == words


@pytest.mark.parametrize(
    ("total", "averaged", "words"),
    [(8, 8, "8"), (8.0, 8, "8"), (12, 8, "12 (8)"), (5.4375, 64, "5.4 (≤64)"), (64, 32.5, "64 (32.5)")],
)
def test_averaged_steps_stand_beside_where_they_differ(total: float, averaged: float, words: str) -> None:
    assert wording.total_steps(total, averaged) == words


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(0.12345, "0.123×"), (1.0, "1.00×"), (12.34, "12.3×"), (123.4, "123×"), (None, "n/a")],
)
def test_times(ratio: float | None, words: str) -> None:
    assert wording.times(ratio) == words


def test_never_and_unknown_differ(make: Make) -> None:
    never, reached = row_of([make({1: 0.5})]), row_of([make({1: 0.9})])
    timeless = row_of([make({1: 0.9}, group="baseline")])
    assert wording.steps(never, never.steps_within_1_point) == "—"
    assert wording.steps(reached, reached.steps_within_1_point) == "1"
    assert wording.steps(reached, 1.5) == "1.5"
    assert wording.steps(timeless, timeless.steps_within_1_point) == "n/a"
    assert wording.parity_energy(never, never.energy_at_parity["operations"]) == "—"
    assert wording.parity_energy(reached, None) == "n/a"


def test_ranges_and_places(make: Make) -> None:
    row = row_of([make()])
    assert wording.percent_range(Interval(0.9061, 0.9174)) == "90.6–91.7"
    assert wording.points_range(Interval(-1.0, 0.2)) == "−1.00 to +0.20"
    assert (wording.percent_range(None), wording.points_range(None)) == ("", "")
    assert wording.place(row) == ""
    assert wording.place(replace(row, rank=2, ties_first=True)) == "2="


def test_the_heading_names_every_ann(make: Make) -> None:
    plain = make(ann=0.9)
    retrained = make(label="qcfs", group="retrained", ann=0.87, checkpoint="d" * 64)
    (board,) = rank([plain, retrained])
    assert wording.heading(board).startswith("ANN top1 90.00 %, trained for conversion 87.00 %")
    assert wording.heading(board, in_full=True).startswith("ANN Top-1 accuracy 90.00 %")
    assert wording.metric_name("of\ntheirs") == "of\N{REPLACEMENT CHARACTER}theirs"
    (alone,) = rank([retrained])
    assert "87.00" in wording.heading(alone)
    assert wording.heading(alone).count("87.00") == 1
