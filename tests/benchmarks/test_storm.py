"""The storm of kills in a short form; `tox run -e storm` has the long one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.storm import Storm, StormReport, measured, storm


@pytest.mark.slow
def test_a_short_storm_loses_nothing(tmp_path: Path) -> None:
    report = storm(tmp_path, seed=1, seconds=60, kills=2, recipes=2, seeds=1)
    assert not report.broken, report
    assert report.cells == 2
    assert report.kills.total() >= 2


def test_the_storm_notices_what_it_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a storm that kills nobody and reads nothing would be content."""

    class Done:
        def wait(self, timeout: float) -> None:
            """A run that does nothing."""

    matrix = {"recipes": ["opi"], "seeds": [0]}
    report = StormReport()
    one = Storm(tmp_path, matrix, random.Random(0), report)
    monkeypatch.setattr(one, "_start", lambda *options: Done())
    folder = tmp_path / "results" / "records"
    folder.mkdir(parents=True)
    record = folder / f"{'0' * 16}.json"
    record.write_text("{")
    one._watch()
    record.unlink()
    record.write_text("{} ")
    (tmp_path / "results" / "claims").mkdir()
    (tmp_path / "results" / "claims" / "cell-a.json").write_text("{}")
    (tmp_path / "1.txt").write_text("Traceback (most recent call last)")
    one.verify({"1" * 16: {}})
    assert (report.lost, report.doubled, report.half, report.claims, report.tracebacks) == (
        1,
        1,
        1,
        1,
        1,
    )
    assert report.broken
    assert measured(tmp_path / "results") == ({}, 1)
