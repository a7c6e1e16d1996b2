"""Reference archives: what may go in, what comes out, and what an update keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from leaderboard.files.atomic import StoreError
from leaderboard.records.record import Record
from leaderboard.reference.agreement import (
    agreement,
    load_reproductions,
    reproduction_of,
    write_reproduction,
)
from leaderboard.reference.packing import archive_name, update
from leaderboard.reference.shipped import SUBMITTED, archives, load_shipped
from leaderboard.store.archive import pack
from leaderboard.store.results import ResultStore

Make = Callable[..., Record]
HERE = {"python": "3.11"}


def yes(commit: str) -> bool:
    return True


def results(folder: Path, *records: Record) -> Path:
    for record in records:
        ResultStore(folder).write(record)
    return folder


def test_there_is_an_archive_for_each_task_and_data_set(make: Make, tmp_path: Path) -> None:
    records = [
        make(label="a", dataset="CIFAR-10"),
        make(label="b", dataset="CIFAR-10"),
        make(task="detection"),
    ]
    done = update([results(tmp_path / "r", *records)], HERE, yes, tmp_path / "ref")
    assert [(each.path.name, each.added) for each in done] == [
        ("classification-cifar-10.zip", 2),
        ("detection-digits.zip", 1),
    ]
    shipped = load_shipped(tmp_path / "ref")
    assert {r.cell_id for r in shipped.records} == {r.cell_id for r in records}
    assert set(shipped.origins.values()) == {"reference"}
    assert archive_name(make(dataset="My data (v2)")) == "classification-my-data-v2.zip"
    assert load_shipped(tmp_path / "nothing").records == []


def test_an_update_replaces_what_was_measured_again_and_keeps_the_rest(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "ref"
    update([results(tmp_path / "old", make({4: 0.8}, label="a"), make(label="b"))], HERE, yes, folder)
    again = make({4: 0.9}, label="a", provenance_created="2026-02-01T00:00:00Z")
    (done,) = update([results(tmp_path / "new", again)], HERE, yes, folder)
    assert (done.added, done.replaced, done.kept) == (0, 1, 1)
    found = {record.method.label: record for record in load_shipped(folder).records}
    assert found["a"].curve[-1].metrics["top1"] == 0.9
    assert set(found) == {"a", "b"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"provenance_git_commit": None, "provenance_git_dirty": None}, "nobody knows the commit"),
        ({"provenance_git_dirty": True}, "had changes that were not committed"),
        ({"provenance_git_dirty": None}, "had changes that were not committed"),
        ({"benchmark_version": 7}, "of version 7 of the benchmark"),
        ({"count": None}, "no outcomes of single images"),
    ],
)
def test_what_nobody_can_measure_again_is_no_reference(
    make: Make, tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    folder = results(tmp_path / "r", make(label="good"), make(label="bad", **changes))
    with pytest.raises(StoreError, match=why):
        update([folder], HERE, yes, tmp_path / "ref")
    assert archives(tmp_path / "ref") == []


def test_commits_of_other_repositories_and_damaged_files_are_refused(make: Make, tmp_path: Path) -> None:
    folder = results(tmp_path / "r", make())
    with pytest.raises(StoreError, match="not in the history of this repository"):
        update([folder], HERE, lambda commit: False, tmp_path / "ref")
    (folder / "records" / f"{'0' * 16}.json").write_text("{")
    with pytest.raises(StoreError, match="is not JSON"):
        update([folder], HERE, lambda commit: None, tmp_path / "ref")
    with pytest.raises(StoreError, match="no records in"):
        update([tmp_path / "empty"], HERE, yes, tmp_path / "ref")


def test_a_claim_is_verified_by_a_reference_that_agrees(make: Make, tmp_path: Path) -> None:
    claimed = [make({4: 0.9}, label=name) for name in ("alone", "right", "wrong")]
    (tmp_path / SUBMITTED).mkdir()
    pack(results(tmp_path / "lab", *claimed), tmp_path / SUBMITTED / "lab.zip", HERE)
    measured = [make({4: 0.9}, label="right"), make({4: 0.7}, label="wrong"), make(label="ours")]
    update([results(tmp_path / "r", *measured)], HERE, yes, tmp_path)
    shipped = load_shipped(tmp_path)
    origins = {record.method.label: shipped.origins[record.cell_id] for record in shipped.records}
    assert origins == {"alone": "claimed", "right": "verified", "wrong": "reference", "ours": "reference"}
    assert {r.method.label: r.curve[-1].metrics["top1"] for r in shipped.records}["wrong"] == 0.7


def test_a_cell_measured_again_is_the_same_near_or_not(make: Make) -> None:
    record = make({1: 0.5, 4: 0.9})
    assert agreement(record, record).verdict == "reproduced"
    other_day = make({1: 0.5, 4: 0.9}, provenance_created="2026-03-01T00:00:00Z")
    assert agreement(record, other_day).verdict == "reproduced"
    near = agreement(record, make({1: 0.5, 4: 0.905}))
    assert (near.verdict, near.why) == ("within the interval", "top1 at t=4: 0.905, stated 0.9")
    far = agreement(record, make({1: 0.5, 4: 0.93}))
    assert (far.verdict, far.holds) == ("not", False)
    assert "outside of 0.879" in far.why
    point = record.curve[1]
    dear = record.model_copy(
        update={"curve": [record.curve[0], point.model_copy(update={"synops": {"fc": 250.0}})]}
    )
    assert agreement(record, dear).why == "SynOps at t=4: 250, stated 200"
    for changes in (
        {"checkpoint": "d" * 64},
        {"label": "other"},
        {"provenance_data": {"test": "others"}},
        {"benchmark_version": 2},
    ):
        assert agreement(record, make({1: 0.5, 4: 0.9}, **changes)).verdict == "not", changes
    assert agreement(record, make({1: 0.5, 2: 0.9})).why == "it was read out at other time steps"


def test_what_came_of_measuring_again_is_kept(make: Make, tmp_path: Path) -> None:
    record = make()
    found = reproduction_of(record, make({1: 0.5, 2: 0.85, 4: 0.6}))
    path = write_reproduction(tmp_path, found)
    (tmp_path / "reproductions" / "strange.json").write_text(path.read_text())
    (tmp_path / "reproductions" / f"{'0' * 16}.json").write_text("nonsense")
    assert load_reproductions(tmp_path) == {record.cell_id: found}
    assert found.verdict == "not"
    assert load_reproductions(tmp_path / "nothing") == {}
