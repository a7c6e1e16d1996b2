"""Ends what the runner would wait for for ever: workers and fork servers that are stopped, or never start.

A process that was stopped (SIGSTOP) answers nobody, and others take its claim over after a while. When a
worker ends, the fork server says so; where that one is stopped, nobody hears of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any

import psutil

from benchmarks.coordination.claims import SILENCE
from benchmarks.execution import fork_server

LOOK = 1.0  # seconds between two looks at a worker
UNHEARD = 10.0  # seconds after which the fork server has not noticed that a worker is gone
ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
START = 600.0  # seconds that a worker may take until it answers; its imports take long on a busy machine
GOODBYE = 60.0  # seconds that a worker may take to end


def result_of(future: Future[Any], worker: psutil.Process) -> Any:
    """What a worker answers; it is killed where it stays stopped for as long as silence ends its claim.

    Raises:
        BrokenProcessPool: the worker has ended.
    """
    stopped = ended = 0.0
    while not wait([future], LOOK).done:
        # Looks are counted, not seconds: where this process was stopped as well, both go on at once.
        state = _state(worker)
        stopped = stopped + LOOK if state == psutil.STATUS_STOPPED else 0.0
        ended = ended + LOOK if state in ENDED else 0.0
        if stopped >= SILENCE:
            kill([worker])
        if ended >= UNHEARD:
            fork_server.end()
            ended = 0.0
    return future.result()


def unless_in_time(seconds: float, workers: Callable[[], list[psutil.Process]]) -> threading.Timer:
    """Kill workers that have not started, or not ended, in time; a fork server that is stopped as well.

    Args:
        seconds: that they have.
        workers: asked when the time is over; none where the fork server has begun none.

    Returns:
        To be cancelled once they have.
    """

    def end() -> None:
        late, server = workers(), fork_server.process_id()
        kill(late)
        if server is not None and (not late or psutil.STATUS_STOPPED in map(_state, processes([server]))):
            fork_server.end()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer


def processes(pids: Iterable[int]) -> list[psutil.Process]:
    """Those that run, told from later ones of the same number."""
    found = []
    for pid in pids:
        with suppress(psutil.Error):
            found.append(psutil.Process(pid))
    return found


def _state(process: psutil.Process) -> str:
    try:
        state: str = process.status()
    except psutil.Error:
        state = psutil.STATUS_DEAD
    return state


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill them, if they run."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
