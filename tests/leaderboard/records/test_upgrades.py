"""Records of older schema versions are read as if they were of this one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from leaderboard.records.record import SCHEMA_VERSION, Record, repeatable
from leaderboard.records.upgrades import STEPS
from leaderboard.statistics.energies import completed
from leaderboard.store.failures import Failure, FailureStore
from leaderboard.store.results import ResultStore

Make = Callable[..., Record]


def test_a_record_of_the_first_schema_is_upgraded(make: Make, tmp_path: Path) -> None:
    store, record = ResultStore(tmp_path), completed(make())
    path = store.write(record)
    old = json.loads(path.read_text())
    old["schema_version"] = 1
    del old["provenance"]["nondeterministic"]
    text = json.dumps(old)
    path.write_text(text)
    assert store.read(record.cell_id) == record
    assert store.load().invalid == []
    assert path.read_text() == text  # reading changes nothing


def test_there_is_a_step_from_every_version() -> None:
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))


def test_clocks_and_memory_are_not_repeatable_and_everything_else_is(make: Make) -> None:
    record = make()
    provenance = record.provenance.model_copy(
        update={"created": "2030-01-01T00:00:00Z", "wall_time_s": {"cell": 9.0}, "peak_memory_mib": 1.0}
    )
    later = record.model_copy(update={"provenance": provenance})
    assert repeatable(later) == repeatable(record)
    assert repeatable(record.model_copy(update={"seed": 1})) != repeatable(record)
    other = record.provenance.model_copy(update={"device": "cuda"})
    assert repeatable(record.model_copy(update={"provenance": other})) != repeatable(record)


def failure(**changes: object) -> Failure:
    fields = {
        "id": "a" * 16,
        "kind": "cell",
        "matrix": "m",
        "title": "t",
        "error": "ValueError",
        "message": "a\nb \ud800",
        "traceback": "Traceback",
        "outside_cause": False,
        "worker": "process 1 on here",
        "created": "2026-01-01T00:00:00+00:00",
        "versions": {},
    }
    return Failure(**(fields | changes))


def test_failures_are_kept_and_cleared(tmp_path: Path) -> None:
    store, kept = FailureStore(tmp_path), failure(message="a\nb")
    store.write(kept)
    assert store.get("a" * 16) == kept
    assert store.load() == {"a" * 16: kept}
    (file,) = tmp_path.rglob("*.json")
    assert json.loads(file.read_text())["mendable"] is False  # what files have always called it
    assert (kept.summary, kept.why) == ("ValueError: a", "Traceback")
    assert failure(outside_cause=True, message="mend me").why == "mend me"
    store.clear("a" * 16)
    store.clear("a" * 16)
    assert store.load() == {}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_failure_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "failures").mkdir()
    (tmp_path / "failures" / f"{'a' * 16}.json").write_text(content)
    assert FailureStore(tmp_path).load() == {}
    assert FailureStore(tmp_path).get("../records/x") is None
