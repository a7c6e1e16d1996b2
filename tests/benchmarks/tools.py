"""What tests do here and in processes of their own, which run this file: see the fixture `start`."""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.coordination.claims import Claims
from benchmarks.execution.pool import WorkerPool
from benchmarks.execution.where import Where
from benchmarks.runner import Outcome, run
from benchmarks.spec import Matrix
from leaderboard import ResultStore
from leaderboard.records.record import repeatable

TINY = {
    "name": "tiny",
    "datasets": [{"name": "digits", "size": 8}],
    "networks": ["small_cnn"],
    "recipes": ["opi", "burst", "maxnorm"],
    "time_steps": [1, 4],
    "seeds": [0, 1],
    "training": {"epochs": 2, "batch_size": 256},
    "evaluation": {"calibration_images": 32, "test_images": 40, "batch_size": 20},
    "tracking": {"wandb": "off"},
}


def matrix_of(**changes: Any) -> Matrix:
    return Matrix.model_validate({**TINY, **changes})


def run_matrix(matrix: Matrix, results: Path, where: Where | None = None, **options: Any) -> Outcome:
    return run(matrix, None, results, Console(file=io.StringIO(), width=200), where, **options)


def console() -> tuple[Console, io.StringIO]:
    """A console that is no terminal, and what is printed there."""
    text = io.StringIO()
    return Console(file=text, width=200), text


def measured(results: Path) -> dict[str, dict[str, Any]]:
    """What the records of a folder say, clocks and memory left out."""
    loaded = ResultStore(results).load()
    assert loaded.invalid == []
    return {record.cell_id: repeatable(record) for record in loaded.records}


def wait_until(ready: Callable[[], Any], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def hold(results: Path, key: str) -> None:
    """Claim something and keep it."""
    claim = Claims(results).take(key, "a cell")
    assert claim is not None
    time.sleep(600)


def use_a_pool(report: Path) -> None:
    """Keep two workers busy; say who they are."""
    pool = WorkerPool(2, 1)
    futures = [pool.submit(time.sleep, 0.3) for _ in range(2)]
    for future in futures:
        future.result()
    report.write_text(" ".join(str(pid) for pid in pool.pids))
    pool.submit(time.sleep, 600).result()


def report_stop(matrix: Matrix, results: Path, where: Where, report: Path) -> None:
    """Run, and keep why the run stopped."""
    report.write_text(run_matrix(matrix, results, where).stopped)


def dask_scheduler(report: Path) -> None:
    """A scheduler on this machine; says its address."""
    from distributed import Scheduler

    async def serve() -> None:
        async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
            report.with_suffix(".part").write_text(scheduler.address)
            report.with_suffix(".part").replace(report)
            await scheduler.finished()

    asyncio.run(serve())


def dask_worker(address: str, folder: Path) -> None:
    """A worker with one thread."""
    from distributed import Worker

    async def serve() -> None:
        async with Worker(address, nthreads=1, host="127.0.0.1", local_directory=str(folder)) as worker:
            await worker.finished()

    asyncio.run(serve())


def end_with_the_tests() -> None:
    """Nobody looks at what a process does whose tests were killed."""
    tests = multiprocessing.parent_process()
    assert tests is not None
    tests.join()
    os._exit(1)


if __name__ == "child":
    os.setsid()  # not hit by what the test process is sent
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=end_with_the_tests, daemon=True).start()
    globals()[call](*arguments)  # type: ignore[name-defined]  # noqa: F821  # given by `start`
