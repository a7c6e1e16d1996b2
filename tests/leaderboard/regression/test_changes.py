from __future__ import annotations

import json

import pytest

from leaderboard import StoreError
from leaderboard.regression.baseline import (
    OTHER,
    SAME,
    Baseline,
    MeasuredCell,
    measured,
    read_baseline,
    write_baseline,
)
from leaderboard.regression.changes import (
    ANN,
    DATA,
    ENERGY,
    FAN_OUT,
    MATRIX,
    METRIC,
    NEURONS,
    POOLS,
    SHIFTED,
    STEPS,
    moves,
)


@pytest.fixture
def cell(make):
    return MeasuredCell.of(make({1: 0.5, 2: 0.7, 3: 0.8, 4: 0.85}))


def changed(cell: MeasuredCell, t: int | None, field: str, name: str | None, value) -> MeasuredCell:
    """The same with one number changed, of a read-out or of the cell."""
    content = cell.model_dump()
    target = content if t is None else content["readings"][t]
    if name is None:
        target[field] = value
    else:
        target[field][name] = value
    return MeasuredCell.model_validate(content)


def only(old, new, tolerance=SAME):
    (move,) = moves({"cell": old}, {"cell": new}, tolerance)
    return move


@pytest.mark.parametrize(
    ("change", "what", "room"),
    [
        ((None, "data", "test", "other"), "test images", DATA),
        ((None, "ann_metrics", "top1", 0.91), "ANN top1", ANN),
        ((2, "t_total", None, 3.0), "steps run at t = 2", STEPS),
        ((3, "spikes", "large", 91.0), "spikes of large at t = 3", NEURONS),
        ((3, "spikes", "pool", 91.0), "spikes of pool at t = 3", POOLS),
        ((3, "synops", "fc", 151.0), "SynOps of fc at t = 3", FAN_OUT),
        ((3, "energy_pj", "operations", 301.0), "energy (operations) at t = 3", ENERGY),
        ((4, "metrics", "top1", 0.8501), "top1 at t = 4", METRIC),
    ],
)
def test_one_change_is_named_with_its_room(cell, change, what, room):
    move = only(cell, changed(cell, *change))
    assert (move.what, move.room, move.others) == (what, room, 0)


def test_the_first_cause_comes_first(cell):
    moved = changed(cell, 4, "metrics", "top1", 0.1)
    moved = changed(moved, 1, "energy_pj", "operations", 1.0)
    moved = changed(moved, 2, "spikes", "large", 1.0)
    assert only(cell, moved).what == "spikes of large at t = 2"
    assert only(cell, moved).others == 2
    earlier_layer = changed(moved, 4, "spikes", "small", 1.0)
    assert only(cell, earlier_layer).what == "spikes of small at t = 4"


@pytest.mark.parametrize("by", [1, -1])
def test_a_shift_of_time_is_recognised(cell, by):
    content = cell.model_dump()
    for t, reading in content["readings"].items():
        reading["spikes"] = {"small": 20.0 * (t + by), "large": 30.0 * (t + by)}
    assert only(cell, MeasuredCell.model_validate(content)).room == SHIFTED


def test_tolerances_are_relative_to_what_they_bound(cell):
    within = changed(changed(cell, 4, "spikes", "large", 121.0), 4, "metrics", "top1", 0.87)
    assert moves({"cell": cell}, {"cell": within}, OTHER) == []
    assert only(cell, within).what == "spikes of large at t = 4"
    beyond = changed(cell, 4, "spikes", "large", 127.0)
    assert only(cell, beyond, OTHER).before == "120"
    tiny = changed(cell, 1, "metrics", "top1", 0.5 + 1e-9)
    assert moves({"cell": cell}, {"cell": tiny}, SAME) == []


def test_values_are_told_with_as_many_digits_as_they_need(cell):
    move = only(cell, changed(cell, 4, "spikes", "large", 120.000001))
    assert (move.before, move.after) == ("120", "120.000001")


def test_missing_and_new_cells(cell):
    gone, new = moves({"a": cell}, {"b": cell}, SAME)
    assert (gone.cell, gone.after, gone.room) == ("a", "missing", MATRIX)
    assert (new.cell, new.before, new.room) == ("b", "not in the baseline", MATRIX)


def test_a_baseline_survives_the_disk_exactly(make, tmp_path):
    cells = measured([make(label="b"), make({1: 1 / 3}, label="a")])
    assert list(cells) == [
        "classification / digits / net / a / seed 0",
        "classification / digits / net / b / seed 0",
    ]
    baseline = Baseline(arithmetic={"torch": "2"}, cells=cells)
    path = tmp_path / "baseline.json"
    write_baseline(baseline, path)
    assert read_baseline(path) == baseline
    lines = path.read_text().splitlines()
    other = measured([make(label="b"), make({1: 0.25}, label="a")])
    write_baseline(Baseline(arithmetic={"torch": "2"}, cells=other), path)
    assert sum(one != two for one, two in zip(lines, path.read_text().splitlines(), strict=True)) == 1


def test_tolerances_follow_the_arithmetic(cell):
    baseline = Baseline(arithmetic={"torch": "2", "kernel": "none"}, cells={})
    assert baseline.tolerance({"torch": "2", "kernel": "none"}) == SAME
    assert baseline.tolerance({"torch": "3", "kernel": "none"}) == OTHER
    assert "must be equal" in SAME.why
    assert "rounds" in OTHER.why


def test_two_cells_of_one_name_are_refused(make):
    with pytest.raises(StoreError, match=r"two cells are called '.*/ net / recipe / seed 0'"):
        measured([make(), make({1: 0.3})])


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no baseline"), ("{", "is not a baseline"), (json.dumps({"cells": {}}), "arithmetic")],
)
def test_a_damaged_baseline_says_what_to_do(tmp_path, text, message):
    path = tmp_path / "baseline.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StoreError, match=message) as caught:
        read_baseline(path)
    assert "--update" in str(caught.value)


def test_what_only_the_same_arithmetic_can_judge_is_left_out_elsewhere(make):
    cells = measured([make(label="greedy"), make(label="steady")])
    baseline = Baseline(arithmetic={"torch": "2"}, cells=cells, only_same={"greedy": "it chooses"})
    assert baseline.comparable(cells, {"torch": "2"}) == cells
    steady = "classification / digits / net / steady / seed 0"
    assert list(baseline.comparable(cells, {"torch": "3"})) == [steady]
    one_cell = baseline.model_copy(update={"only_same": {steady: "it decides"}})
    assert steady not in one_cell.comparable(cells, {"torch": "3"})
    assert len(one_cell.comparable(cells, {"torch": "3"})) == 1


def test_the_score_is_said_whatever_moved_first(cell):
    moved = changed(changed(cell, 2, "spikes", "large", 1.0), 4, "metrics", "top1", 0.1)
    move = only(cell, moved)
    assert move.score.startswith("top1 at t = 4 from 0.")
    assert move.score.endswith(" to 0.1000") or move.score.endswith(" to 0.1")
    assert only(cell, changed(cell, 2, "spikes", "large", 1.0)).score.startswith("top1 at t = 4 stays 0.")
