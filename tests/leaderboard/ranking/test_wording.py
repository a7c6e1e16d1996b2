import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from leaderboard.ranking import wording
from leaderboard.ranking.boards import rank
from leaderboard.ranking.rows import row_of
from leaderboard.records.record import Record
from leaderboard.statistics.intervals import Interval

Make = Callable[..., Record]
CASES = json.loads((Path(__file__).parents[1] / "number_cases.json").read_text(encoding="utf-8"))


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


def interval(low: float | None, high: float | None, scale: float) -> Interval | None:
    return None if low is None or high is None else Interval(low / scale, high / scale)


WRITTEN: dict[str, Callable[..., str]] = {
    "points": wording.points,
    "time_steps": wording.time_steps,
    "total_steps": wording.total_steps,
    "times": wording.times,
    "rate": wording.rate,
    "percent": lambda value: wording.percent(value / 100),
    "percent_range": lambda low, high: wording.percent_range(interval(low, high, 100)),
    "points_range": lambda low, high: wording.points_range(interval(low, high, 1)),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_numbers_are_written_as_on_the_page(name: str) -> None:
    """The page's script is tested with the same cases, tests/leaderboard/page/script/numbers.test.mjs."""
    for *figures, text in CASES[name]:
        assert WRITTEN[name](*figures) == text, figures


def test_every_kind_of_case_is_written() -> None:
    assert CASES.keys() - {"note"} == WRITTEN.keys()


def test_never_and_unknown_differ(make: Make) -> None:
    never, reached = row_of([make({1: 0.5})]), row_of([make({1: 0.9})])
    timeless = row_of([make({1: 0.9}, group="baseline")])
    assert wording.steps(never, never.steps_within_1_point) == "—"
    assert wording.steps(reached, reached.steps_within_1_point) == "1"
    assert wording.steps(reached, 1.5) == "1.5"
    assert wording.steps(timeless, timeless.steps_within_1_point) == "n/a"
    assert wording.parity_energy(never, never.energy_at_parity["operations"]) == "—"
    assert wording.parity_energy(reached, None) == "n/a"


def test_places(make: Make) -> None:
    row = row_of([make()])
    assert wording.place(row) == ""
    assert wording.place(replace(row, rank=2, tied=True)) == "2="


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
