"""What `spikemark status` says is left, from notes and records alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.coordination.kinds import Kind
from benchmarks.coordination.notes import NotedCell, Notes
from benchmarks.execution.remaining import Measured
from benchmarks.execution.status import lines, statuses


def kind(recipe: str, *, fitted: bool = False, forwards: int = 10) -> Kind:
    return Kind("digits", "small_cnn", recipe, fitted, forwards)


def noted(results: Path, kinds: list[Kind | None], seconds: dict[int, float], at_once: int | None = 1) -> str:
    """The line of a matrix of such cells, some of which were measured."""
    cells = [NotedCell(f"{i:016x}", "a" * 16, f"cell {i}", each) for i, each in enumerate(kinds)]
    Notes(results).write("m", cells, at_once)
    (results / "records").mkdir(exist_ok=True, parents=True)
    for place, each in seconds.items():
        content = {"provenance": {"wall_time_s": {"cell": each}}}
        (results / "records" / f"{cells[place].id}.json").write_text(json.dumps(content))
    (status,) = statuses(results)
    return lines(status)[0]


def test_cells_wait_as_long_as_those_that_are_like_them(tmp_path: Path) -> None:
    """Two of 10 s were measured and one of 1,000 s; what is left is one of 10 s."""
    kinds = [kind("opi"), kind("opi"), kind("dear", fitted=True), kind("opi")]
    line = noted(tmp_path, kinds, {0: 10.0, 1: 10.0, 2: 1000.0})
    assert line == "m: 3 of 4 cells done, 0 running, 0 failed, about 10 s left"


def test_longer_cells_take_longer_and_unknown_ones_at_least_as_long(tmp_path: Path) -> None:
    kinds = [kind("opi"), kind("opi", forwards=40), kind("dear", fitted=True)]
    assert noted(tmp_path, kinds[:2], {0: 10.0}).endswith("about 40 s left")
    assert noted(tmp_path, kinds, {0: 10.0}).endswith("at least 50 s left")
    assert noted(tmp_path, kinds, {0: 10.0}, at_once=2).endswith("at least 40 s left")  # its longest cell


def test_notes_of_an_older_spikemark_are_read_by_their_mean(tmp_path: Path) -> None:
    assert noted(tmp_path, [None] * 4, {0: 10.0, 1: 20.0}).endswith("about 30 s left")
    assert "left" not in noted(tmp_path / "b", [None, None], {})


def test_what_is_left_is_what_the_runner_says() -> None:
    """Every cell by its rate, brute force."""
    measured = Measured()
    for each, seconds in ((kind("a"), 5.0), (kind("a", forwards=20), 30.0)):
        measured.add(each, seconds)
    left = measured.left([("x", kind("a", forwards=8)), ("y", kind("b"))], {"x": 3.0}, 1)
    assert left is not None
    assert left.seconds == pytest.approx((8 * (0.5 + 1.5) / 2 - 3) + 10 * (0.5 + 1.5) / 2)
