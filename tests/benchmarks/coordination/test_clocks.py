"""Clocks that are a day away from others, or are set while something runs, decide nothing."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import runner
from benchmarks.cells import expand
from benchmarks.coordination.claims import Claims
from benchmarks.coordination.leftovers import ABANDONED, leftovers
from benchmarks.execution.jobs import Answer, Job
from benchmarks.execution.status import show_status
from benchmarks.execution.times import in_words
from leaderboard.store.failures import Failure, FailureStore

DAY = 86_400.0


@pytest.fixture(params=[-DAY, DAY], ids=["a day behind", "a day ahead"])
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """Move the clock of this process; that of the disk stays."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + request.param)
    return float(request.param)


def test_files_that_are_being_written_are_no_leftovers(tmp_path: Path, clock: float) -> None:
    young, old = tmp_path / ".young.tmp", tmp_path / ".old.tmp"
    young.touch()
    old.touch()
    there = old.stat().st_mtime - ABANDONED - 60
    os.utime(old, (there, there))
    assert leftovers(tmp_path) == [old]
    assert sorted(tmp_path.iterdir()) == [old, young]


def test_what_another_does_is_shown_with_a_time_that_can_be(tools: Any, tmp_path: Path, clock: float) -> None:
    with Claims(tmp_path).take("cell-0123456789abcdef", "a cell"):
        screen, text = tools.console()
        show_status(tmp_path, "", screen)
    assert "for -" not in text.getvalue()
    assert in_words(-clock if clock > 0 else clock) == "0 s"


@pytest.mark.parametrize("known", [False, True], ids=["new", "known before"])
@pytest.mark.parametrize("ago", [-DAY, 0.0, DAY])
def test_a_failure_is_that_of_another_runner_if_it_was_not_there_before(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ago: float, known: bool
) -> None:
    """Whatever the clock of its machine says."""
    monkeypatch.setattr(runner, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(runner, "run_job", lambda job: Answer("failed", "here"))
    matrix = tools.matrix_of(recipes=["opi"], seeds=[0])
    (cell,) = expand(matrix, None)
    job = Job(cell, tmp_path, train=True)
    failure = Failure(
        id=job.id, kind="network", matrix="tiny", title="a network", error="OSError", message="there",
        outside_cause=True, worker="another", versions={},
        created=(datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="seconds"),
    )  # fmt: skip
    if known:
        FailureStore(tmp_path).write(failure)
    claim = Claims(tmp_path).take(job.key, "a network")
    assert claim is not None

    def meanwhile(seconds: float) -> None:
        """The other fails, while this one waits for it."""
        FailureStore(tmp_path).write(failure)
        claim.release()

    monkeypatch.setattr(runner, "time", SimpleNamespace(sleep=meanwhile, monotonic=time.monotonic))
    outcome = tools.run_matrix(matrix, tmp_path)
    assert {why for _, why in outcome.failures} == {"here" if known else "there"}
