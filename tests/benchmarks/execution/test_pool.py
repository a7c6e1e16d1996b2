"""Worker processes: each on its own, none of them precious."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from benchmarks.execution.executors import WorkerDied
from benchmarks.execution.pool import WorkerPool, visible_gpus


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


def test_a_killed_worker_takes_one_job_with_it() -> None:
    with WorkerPool(2, 1) as pool:
        first = pool.submit(os.getpid).result()
        slow = pool.submit(time.sleep, 0.5)
        with pytest.raises(WorkerDied, match=r"worker process \d+ was killed"):
            pool.submit(os._exit, 9).result()
        assert slow.result() is None
        pids = {pool.submit(os.getpid).result() for _ in range(4)}
        assert os.getpid() not in pids | {first}


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
