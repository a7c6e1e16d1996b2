"""What `spikemark validate` refuses, and what it lets through; what reviewers see of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leaderboard.files.atomic import StoreError
from leaderboard.ranking.boards import rank
from leaderboard.records.record import LayerCounts, Point, Record
from leaderboard.reference.board_difference import board_difference
from leaderboard.reference.submissions import implausible, problems, read_submission
from leaderboard.statistics.energies import completed
from leaderboard.store.archive import pack
from leaderboard.store.results import ResultStore

Make = Callable[..., Record]


def sound(make: Make, **changes: Any) -> Record:
    """A record whose energies follow from its counts."""
    sizes = {"weights": 1000, "biases": 10, "inputs": 100, "outputs": 10, "taps": 0, "sources": ["small"]}
    layer = LayerCounts(name="fc", macs=1000.0, drive="spikes", **sizes)
    record = make({1: 0.5, 4: 0.9}, layers=[layer], **changes)
    bare = [point.model_copy(update={"energy_pj": {}}) for point in record.curve]
    ann = record.ann.model_copy(update={"energy_pj": {}})
    return completed(record.model_copy(update={"curve": bare, "ann": ann}))


def changed(record: Record, **changes: Any) -> Record:
    """The same with its last read-out changed."""
    *others, last = record.curve
    return record.model_copy(update={"curve": [*others, last.model_copy(update=changes)]})


def test_a_sound_submission_has_no_problems(make: Make, tmp_path: Path) -> None:
    records = [sound(make, label=name) for name in ("a", "b")]
    for record in records:
        ResultStore(tmp_path / "lab").write(record)
    pack(tmp_path / "lab", tmp_path / "lab.zip", {})
    assert problems(read_submission(tmp_path / "lab.zip"), {}, records[:1]) == []


def test_a_damaged_archive_is_no_submission(tmp_path: Path) -> None:
    (tmp_path / "lab.zip").write_bytes(b"PK nonsense")
    with pytest.raises(StoreError, match="cannot be read as an archive"):
        read_submission(tmp_path / "lab.zip")


def test_counts_that_no_network_has_are_named(make: Make) -> None:
    record = sound(make)
    assert list(implausible(record)) == []
    cases: list[tuple[dict[str, Any], str]] = [
        ({"spikes": {"small": 500.0, "large": 120.0}}, "small sends 500 spikes, more than its 100 units can"),
        ({"rates": {"small": 0.02, "large": 0.1}}, "rates.small is 0.02, but its spikes give 0.2"),
        ({"rates": {"large": 0.1}}, "rates.small is 0, but its spikes give 0.2"),
        ({"synops": {"fc": 900.0}}, "fc has 900 SynOps, more than its spikes can cause"),
        ({"energy_pj": {"operations": 1.0}}, "energy_pj.operations is 1, but its counts give 180"),
        ({"spikes": {"small": 20.0, "large": 1.0}}, "fewer spikes were sent than at t=1"),
    ]
    for changes, why in cases:
        assert any(why in line for line in implausible(changed(record, **changes))), (
            changes,
            list(implausible(changed(record, **changes))),
        )


def test_figures_of_the_ann_that_its_layers_do_not_give_are_named(make: Make) -> None:
    """Every energy on the board is divided by them."""
    record = sound(make)
    assert record.ann.energy_pj["operations"] == pytest.approx(4600)
    energies = record.ann.energy_pj | {"operations": 9200.0}
    for changes, why in (
        ({"macs": 5000.0}, ["ann.macs is 5000, but its layers have 1000"]),
        ({"energy_pj": energies}, ["ann.energy_pj.operations is 9200, but its layers give 4600"]),
    ):
        other = record.model_copy(update={"ann": record.ann.model_copy(update=changes)})
        assert list(implausible(other)) == why


def test_a_network_fitted_for_each_t_may_send_fewer_spikes(make: Make) -> None:
    fewer = {"small": 20.0, "large": 1.0}
    each_t = sound(make, method_parts={"initial": {"name": "shift"}})
    assert not any("fewer spikes" in line for line in implausible(changed(each_t, spikes=fewer)))


def test_duplicates_losses_and_unknown_commits_are_named(make: Make) -> None:
    record, dirty = sound(make), sound(make, label="dirty", provenance_git_dirty=True)
    bare = sound(make, label="bare", provenance_data={})
    lost = make(label="lost")
    found = problems([record, dirty, bare], {record.cell_id: "lab.zip"}, [record, lost], lambda commit: None)
    assert [line.split(": ", 1)[-1] for line in found] == [
        "is in lab.zip already; leave it out",
        "commit 01234567 had changes that were not committed: commit them, run it again",
        "does not say which test images it was measured on",
        f"cell {lost.cell_id} (lost) was in the archive before and is lost",
    ]
    assert problems([], {}) == ["the archive holds no records"]
    assert "not in the history" in problems([record], {}, knows=lambda commit: False)[0]


def test_the_difference_names_new_rows_and_ranks_that_changed(make: Make) -> None:
    old = [make({4: 0.9, 8: 0.9}, label="old"), make({4: 0.5, 8: 0.6}, label="last")]
    new = make({2: 0.9, 8: 0.9}, label="@new *<b>*")
    before, after = rank(old), rank([*old, new])
    text = board_difference(before, after)
    assert "| 1 | new | **&#64;new \\*&#60;b&#62;\\*** | binary | closed | 2 | 90.00 % | own |" in text
    assert "| 2 | 1 | old |" in text
    assert "| 3 | 2 | last |" in text
    assert board_difference(after, after) == "No row is new and no rank changes."
    assert "(new board)" in board_difference([], after)


def test_points_without_counts_are_not_judged(make: Make) -> None:
    point = Point(t=1, t_total=1, metrics={"top1": 0.5}, spikes={}, rates={}, synops={}, energy_pj={})
    record = make({1: 0.5}, group="baseline")
    assert list(implausible(record.model_copy(update={"curve": [point]}))) == []


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ("", "is empty"),
        (" \t", "is empty"),
        ("a\x1b[2J", "holds signs that cannot be seen"),
        ("a\u202eb", "holds signs that cannot be seen"),
        ("a" * 101, "has 101 characters, more than 100"),
    ],
)
def test_names_that_no_row_can_show_are_named(make: Make, label: str, why: str) -> None:
    record = sound(make)
    named = record.model_copy(update={"method": record.method.model_copy(update={"label": label})})
    (line,) = problems([named], {})
    assert f"method.label {why}" in line
    assert "in the matrix" in line
    assert problems([sound(make, label="recipe \u03b3 = 2, " + "a" * 85)], {}) == []


def test_a_refused_archive_comes_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "lab.zip").write_bytes(b"")
    with pytest.raises(StoreError, match=r"lab\.zip .*\n.*spikemark export --out"):
        read_submission(tmp_path / "lab.zip")


def test_a_row_that_gets_another_label_is_not_new(make: Make) -> None:
    old = make({4: 0.9}, label="twin")
    method = old.method.model_copy(update={"parts": {"scale": {"name": "other"}}})
    new = make({4: 0.3}, label="twin").model_copy(update={"method": method, "cell_id": "f" * 16})
    (lines,) = board_difference(rank([old]), rank([old, new])).split("### ")[1:]
    rows = [line for line in lines.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) == 1
    assert "new" in rows[0]
