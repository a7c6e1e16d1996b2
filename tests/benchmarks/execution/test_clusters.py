"""The same matrix by a real Dask scheduler with two workers, and through submitit."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import ExecutionError
from benchmarks.execution.executors import open_executor
from benchmarks.execution.where import Where
from leaderboard.store.failures import FailureStore


@pytest.fixture
def cluster(start: Any, tools: Any, tmp_path: Path) -> Iterator[tuple[str, Any, list[Any]]]:
    """Address, scheduler and workers of a Dask cluster on the loopback."""
    pytest.importorskip("distributed")
    report = tmp_path / "address"
    scheduler = start("dask_scheduler", report)
    tools.wait_until(report.exists)
    address = report.read_text()
    assert address.startswith("tcp://127.0.0.1:")
    return address, scheduler, [start("dask_worker", address, tmp_path / "dask") for _ in range(2)]


def test_a_dask_cluster_gives_the_same_records(
    cluster: Any, undisturbed: Any, tools: Any, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    outcome = tools.run_matrix(tools.matrix_of(), results, Where(scheduler=cluster[0]))
    assert (outcome.failures, outcome.stopped) == ([], "")
    assert len(outcome.finished) == 6
    assert tools.measured(results) == undisturbed


def test_a_killed_dask_worker_costs_no_cell(
    cluster: Any, undisturbed: Any, tools: Any, start: Any, tmp_path: Path
) -> None:
    """Dask starts the job anew on the other worker, which takes the claim over."""
    address, _, workers = cluster
    results = tmp_path / "results"
    runner = start("run_matrix", tools.matrix_of(), results, Where(scheduler=address))
    tools.wait_until(lambda: list(results.glob("records/[!.]*.json")))
    os.kill(workers[0].pid, signal.SIGKILL)
    runner.join(90)
    assert runner.exitcode == 0
    assert FailureStore(results).load() == {}
    assert tools.measured(results) == undisturbed


def test_a_killed_dask_scheduler_loses_nothing_finished(
    cluster: Any, undisturbed: Any, tools: Any, start: Any, tmp_path: Path
) -> None:
    address, scheduler, _ = cluster
    results = tmp_path / "results"
    runner = start("report_stop", tools.matrix_of(), results, Where(scheduler=address), tmp_path / "stopped")
    tools.wait_until(lambda: list(results.glob("records/[!.]*.json")))
    os.kill(scheduler.pid, signal.SIGKILL)
    runner.join(90)
    assert f"the Dask scheduler at {address} is gone" in (tmp_path / "stopped").read_text()
    assert FailureStore(results).load() == {}
    outcome = tools.run_matrix(tools.matrix_of(), results)
    assert outcome.skipped
    assert tools.measured(results) == undisturbed


def test_submitit_gives_the_same_records(undisturbed: Any, tools: Any, tmp_path: Path) -> None:
    """Its local executor starts a process for each job, as Slurm does."""
    pytest.importorskip("submitit")
    where = Where(slurm=True, cluster="local", workers=2, minutes=5, logs=tmp_path / "logs")
    results = tmp_path / "results"
    outcome = tools.run_matrix(tools.matrix_of(seeds=[1], recipes=["opi"]), results, where)
    assert outcome.failures == []
    ((id_, record),) = tools.measured(results).items()
    assert record == undisturbed[id_]


def has_slurm() -> bool:
    try:
        done = subprocess.run(["sinfo", "-h"], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b"idle" in done.stdout


@pytest.mark.skipif(not has_slurm(), reason="no Slurm with an idle node")
def test_slurm_gives_the_same_records(undisturbed: Any, tools: Any, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    where = Where(slurm=True, workers=2, minutes=5, logs=tmp_path / "logs")
    results = tmp_path / "results"
    outcome = tools.run_matrix(tools.matrix_of(seeds=[1], recipes=["opi"]), results, where)
    assert outcome.failures == []
    ((id_, record),) = tools.measured(results).items()
    assert record == undisturbed[id_]


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExecutionError, match="--slurm and --scheduler exclude each other"):
        Where(slurm=True, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(ExecutionError, match="start Dask workers"):
        Where(workers=2, scheduler="tcp://127.0.0.1:1")
    for module, where, extra in [
        ("distributed", Where(scheduler="tcp://127.0.0.1:1"), "dask"),
        ("submitit", Where(slurm=True, logs=tmp_path), "slurm"),
    ]:
        monkeypatch.setitem(__import__("sys").modules, module, None)
        with pytest.raises(ExecutionError, match=rf"spikemark\[{extra}\]"):
            open_executor(where)
