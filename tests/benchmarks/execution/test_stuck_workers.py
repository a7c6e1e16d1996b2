"""Processes that are stopped or never start: the pool waits for none of them for ever."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.execution import fork_server, stuck_workers
from benchmarks.execution import pool as pool_module
from benchmarks.execution.lost_workers import NotStarted, WorkerDied
from benchmarks.execution.pool import WorkerPool
from benchmarks.storm import outlived

PATIENCE = 60.0  # seconds of these tests
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers of Linux")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The pool loses its patience sooner; fork server and workers import next to nothing, and end."""
    fork_server.end()
    monkeypatch.setattr(fork_server, "PRELOADED", fork_server.PRELOADED[:1])
    monkeypatch.setattr(pool_module, "_begin", operator.is_)  # takes two arguments, and does nothing
    for name, seconds in {"LOOK": 0.1, "SILENCE": 0.5, "UNHEARD": 0.5, "GOODBYE": 1.0}.items():
        monkeypatch.setattr(stuck_workers, name, seconds)
    yield
    fork_server.end()


def server() -> int:
    pid = fork_server.process_id()
    assert pid is not None
    return pid


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)


def begun(pool: WorkerPool, seconds: float = 600.0) -> tuple[int, Future[Any]]:
    """A worker of a pool, at work."""
    pid = pool.submit(os.getpid).result(PATIENCE)
    return pid, pool.submit(time.sleep, seconds)


def test_a_worker_that_stays_stopped_is_replaced() -> None:
    with WorkerPool(1, 1) as pool:
        pid, slow = begun(pool)
        stop(pid)
        with pytest.raises(WorkerDied):
            slow.result(PATIENCE)
        assert pool.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)


def test_a_worker_that_is_stopped_for_a_moment_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stuck_workers, "SILENCE", 30.0)
    with WorkerPool(1, 1) as pool:
        pid, slow = begun(pool, 1.0)
        stop(pid)
        time.sleep(0.5)
        os.kill(pid, signal.SIGCONT)
        assert slow.result(PATIENCE) is None
        assert pool.pids == [pid]


def test_a_killed_worker_is_noticed_although_the_fork_server_is_stopped() -> None:
    with WorkerPool(1, 1) as pool:
        pid, slow = begun(pool)
        stop(server())
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            slow.result(PATIENCE)
        assert pool.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)


@pytest.mark.parametrize("harm", [signal.SIGSTOP, signal.SIGKILL])
def test_a_fork_server_that_starts_no_worker_is_replaced(
    monkeypatch: pytest.MonkeyPatch, harm: signal.Signals
) -> None:
    monkeypatch.setattr(stuck_workers, "START", 4.0)
    with WorkerPool(1, 1) as pool:
        before = server()
        os.kill(before, harm)
        assert pool.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)
    assert server() != before


def test_a_fork_server_that_is_killed_while_a_worker_starts_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the look whether it runs and the start."""
    ask, looks = fork_server._KEEPER.ask, []

    def ask_and_kill() -> None:
        ask()
        looks.append(server())
        if len(looks) == 2:
            os.kill(server(), signal.SIGKILL)
            os.waitid(os.P_PID, server(), os.WEXITED | os.WNOWAIT)

    monkeypatch.setattr(fork_server._KEEPER, "ask", ask_and_kill)
    with WorkerPool(1, 1) as pool:
        assert pool.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)
    assert len(set(looks)) == 2


def test_a_worker_that_never_starts_is_no_reason_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with WorkerPool(1, 1) as warm:
        warm.submit(os.getpid).result(PATIENCE)
    before = server()
    monkeypatch.setattr(stuck_workers, "START", 3.0)
    monkeypatch.setattr(pool_module, "visible_gpus", lambda: [()])
    monkeypatch.setattr(pool_module, "_begin", signal.sigtimedwait)  # for no signal and 600 seconds
    monkeypatch.setattr(pool_module, "TRIES", 1)
    with WorkerPool(1, 600) as pool, pytest.raises(NotStarted, match="could not be started"):
        pool.submit(os.getpid).result(PATIENCE)
    assert server() == before  # whose workers are at work


def test_a_pool_of_stopped_workers_can_be_closed() -> None:
    pool = WorkerPool(1, 1)
    pid = pool.submit(os.getpid).result(PATIENCE)
    for stopped in (pid, server()):
        stop(stopped)
    closing = threading.Thread(target=pool.shutdown, daemon=True)
    closing.start()
    closing.join(PATIENCE)
    assert not closing.is_alive()


def test_a_worker_that_starts_while_the_pool_is_interrupted_gets_no_job(tmp_path: Path) -> None:
    pool = WorkerPool(1, 1)
    future = pool.submit(Path.touch, tmp_path / "done")
    pool._closing = True  # as `shutdown` says first
    with pytest.raises(NotStarted, match="is closing"):
        future.result(PATIENCE)
    pool.shutdown(cancel_futures=True)
    assert not (tmp_path / "done").exists()


KILLED = """
import os, signal, threading, time
from benchmarks.execution import fork_server, pool
if os.environ["IMPORTS"] == "no":
    fork_server.PRELOADED = fork_server.PRELOADED[:1]
pool = pool.WorkerPool(1, 1)
first = fork_server.process_id()
fork_server.end()
pool.submit(os.getpid)
while fork_server.process_id() in (first, None):
    time.sleep(0.01)
if os.environ["IMPORTS"] == "no":
    os.kill(pool.submit(os.getpid).result(), signal.SIGSTOP)
print(fork_server.process_id(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("imports", ["yes", "no"])
def test_a_fork_server_that_replaces_a_killed_one_ends_with_the_runner_too(imports: str) -> None:
    """It is started by another thread, and while it imports or has a stopped worker it would not notice."""
    surroundings = {**os.environ, "IMPORTS": imports}
    runner = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, env=surroundings
    )
    assert runner.stdout is not None
    second = int(runner.stdout.readline())
    started = psutil.Process(runner.pid).children(recursive=True)
    runner.kill()
    alive = outlived(started, 5)
    for each in alive:
        each.kill()
    runner.communicate()
    assert second in {each.pid for each in started}
    assert alive == []


def test_an_interrupt_is_not_the_fork_servers_business() -> None:
    """Neither while it starts nor later, whichever thread has started it."""
    for thread in (
        threading.Thread(target=fork_server.warm_up),
        threading.Thread(target=time.sleep, args=(0.5,)),
    ):
        thread.start()
        thread.join()
        os.kill(server(), signal.SIGINT)
    with WorkerPool(1, 1) as pool:
        before = server()
        assert pool.submit(signal.getsignal, signal.SIGINT).result(PATIENCE) == signal.SIG_IGN
        assert server() == before


OTHER_PYTHON = """
import os, time
from multiprocessing import forkserver
{change}
from benchmarks.execution import fork_server, pool
fork_server.PRELOADED = fork_server.PRELOADED[:1]
fork_server.warm_up()
pool = pool.WorkerPool(1, 1)
assert pool.submit(divmod, 7, 2).result() == (3, 1)
assert pool.submit(os.getppid).result() == fork_server.process_id()
fork_server.end()  # its worker ends with it, if not at once, and the next job gets another one
while True:
    try:
        pool.submit(os.getpid).result()
    except Exception as error:
        print(type(error).__name__, flush=True)
        break
assert pool.submit(divmod, 7, 2).result() == (3, 1)
pool.submit(time.sleep, 600)
print("at work", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    "change",
    [
        "",
        "del forkserver._forkserver",
        "forkserver._forkserver = object()",
        "forkserver._forkserver = type('Other', (), {'ensure_running': lambda self: 1 / 0})()",
    ],
    ids=["this Python", "no name", "another thing", "without a process id"],
)
def test_a_python_without_these_private_names_has_workers_too(change: str) -> None:
    code = OTHER_PYTHON.format(change=change)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdout is not None
        assert runner.stderr is not None
        said = [runner.stdout.readline() for _ in range(2)]
        started = psutil.Process(runner.pid).children(recursive=True) if runner.poll() is None else []
        runner.kill()
        assert said == ["WorkerDied\n", "at work\n"], runner.stderr.read()
    alive = outlived(started, 10)
    for each in alive:
        each.kill()
    assert len(started) >= 2
    assert alive == []
