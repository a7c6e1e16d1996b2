"""Worker processes: each on its own, none of them precious."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from benchmarks.execution import pool as pool_module
from benchmarks.execution.lost_workers import WorkerDied
from benchmarks.execution.pool import WorkerPool, visible_gpus
from benchmarks.execution.where import Where
from leaderboard.store.failures import FailureStore


def test_every_worker_has_its_threads_and_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert visible_gpus() == ["5", "7"]
    found = []
    for _ in range(2):
        with WorkerPool(2, 3) as pool:
            busy = pool.submit(time.sleep, 1.0)
            futures = [pool.submit(os.getenv, "CUDA_VISIBLE_DEVICES"), pool.submit(torch.get_num_threads)]
            found.append([future.result() for future in futures])
            busy.result()
            assert len(set(pool.pids) | {os.getpid()}) == 3
    assert {gpu for gpu, _ in found} <= {"5", "7"}
    assert {threads for _, threads in found} == {3}


STARTED_EARLY = """
import os, sys
from multiprocessing import forkserver
from benchmarks import cli
from benchmarks.execution import fork_server
fork_server.warm_up()
assert "torch" not in sys.modules
from benchmarks.execution.pool import WorkerPool
with WorkerPool(1, 1) as pool:
    assert pool.submit(os.getppid).result() == forkserver._forkserver._forkserver_pid
"""


def test_the_fork_server_starts_before_torch_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", STARTED_EARLY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_worker_that_does_not_start_is_no_failure_of_the_cell(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"])
    with monkeypatch.context() as patch:
        patch.setattr(pool_module, "_begin", no_begin)
        outcome = tools.run_matrix(matrix, tmp_path, Where(workers=1))
    assert "could not be started; where the system is short" in outcome.failures[0][1]
    assert all(failure.outside_cause for failure in FailureStore(tmp_path).load().values())
    assert len(tools.run_matrix(matrix, tmp_path).finished) == 1  # without --retry-failed


def no_begin(*_: Any) -> None:
    """A worker that ends before its first job."""
    os._exit(1)


def test_a_killed_worker_takes_one_job_with_it() -> None:
    with WorkerPool(2, 1) as pool:
        first = pool.submit(os.getpid).result()
        slow = pool.submit(time.sleep, 0.5)
        with pytest.raises(WorkerDied, match=r"worker process \d+ was killed"):
            pool.submit(os._exit, 9).result()
        assert slow.result() is None
        pids = {pool.submit(os.getpid).result() for _ in range(4)}
        assert os.getpid() not in pids | {first}


def test_a_closed_pool_has_no_worker_and_no_thread_left() -> None:
    """Nothing waits for anything when the process of the runner ends a moment later."""
    before = set(threading.enumerate())
    with WorkerPool(2, 1) as pool:
        for future in [pool.submit(time.sleep, 0.5) for _ in range(2)]:
            future.result()
        pids = pool.pids
        assert all(psutil.pid_exists(pid) for pid in pids)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]


def test_an_error_is_the_jobs_own() -> None:
    with WorkerPool(1, 1) as pool:
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result()
        assert pool.submit(divmod, 7, 2).result() == (3, 1)


def test_workers_end_with_a_runner_that_is_killed(tmp_path: Path, start: Any, tools: Any) -> None:
    report = tmp_path / "pids"
    runner = start("use_a_pool", report)
    tools.wait_until(lambda: report.exists() and len(report.read_text().split()) == 2)
    pids = [int(pid) for pid in report.read_text().split()]
    assert all(psutil.pid_exists(pid) for pid in pids)
    os.kill(runner.pid, signal.SIGKILL)

    def gone(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    tools.wait_until(lambda: all(map(gone, pids)), 20)
