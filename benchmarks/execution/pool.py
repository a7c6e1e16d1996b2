"""Worker processes on this machine: a worker that is killed takes one job with it, and nothing else.

Each worker has a `ProcessPoolExecutor` of its own. When it breaks, it is known which job broke it, and the
other workers are not affected. Workers are forked from a server that has imported what they need and runs
nothing; where there is no fork server, they are spawned. Both ways, a worker starts without threads, CUDA or
locks of the runner.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import psutil
import torch

from benchmarks.coordination.orphans import end_with
from benchmarks.execution import stuck_workers
from benchmarks.execution.fork_server import context, warm_up
from benchmarks.execution.lost_workers import NotStarted, WorkerDied

TRIES = 3  # to start a worker: the fork server may be killed meanwhile
# Of a worker or a fork server that is gone, and of a system that has no more threads.
NO_ANSWER = (BrokenProcessPool, OSError, EOFError, RuntimeError, psutil.Error)


class WorkerPool(Executor):
    """A fixed number of processes, each with its own GPU where there are GPUs.

    Args:
        workers: how many.
        threads: CPU threads of each; None: the cores divided by the workers.
    """

    def __init__(self, workers: int, threads: int | None = None) -> None:
        warm_up()
        self._places: queue.SimpleQueue[int] = queue.SimpleQueue()
        for place in range(workers):
            self._places.put(place)
        self._threads = threads or max(1, _cores() // workers)
        self._gpus = visible_gpus()
        self._local = threading.local()
        self._workers: dict[int, psutil.Process] = {}  # by place
        self._pools: dict[int, ProcessPoolExecutor] = {}  # place -> pool of that process
        self._closing = False
        self._submitters = ThreadPoolExecutor(workers, "worker", self._take_place)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run in the next worker that is free; the future raises `WorkerDied` if that is killed."""
        return self._submitters.submit(self._run, fn, args, kwargs)

    @property
    def pids(self) -> list[int]:
        """The workers' process ids, as far as they were started."""
        return [worker.pid for worker in self._workers.values()]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers; with `cancel_futures`, kill those that are at work."""
        if cancel_futures:
            self._closing = True
            stuck_workers.kill(list(self._workers.values()))
        self._submitters.shutdown(wait=wait, cancel_futures=cancel_futures)
        workers = list(self._workers.values())
        late = stuck_workers.unless_in_time(stuck_workers.GOODBYE, lambda: workers) if workers else None
        # Left to the garbage collector, a pool may say goodbye to its worker while this process ends, when
        # nothing sends its word any more: both would wait for each other.
        for pool in list(self._pools.values()):
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        if wait and late is not None:
            late.cancel()

    def _take_place(self) -> None:
        self._local.place = self._places.get()
        self._local.pool = None

    def _run(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        pool = self._local.pool or self._start()
        worker = self._workers[self._local.place]
        if self._closing:  # while the worker was started
            stuck_workers.kill([worker])
            raise NotStarted("the pool is closing")
        try:
            return stuck_workers.result_of(pool.submit(fn, *args, **kwargs), worker)
        except BrokenProcessPool as error:
            self._local.pool = None
            raise WorkerDied(
                f"worker process {worker.pid} was killed or crashed. Where the system ran out of memory "
                "(see its log), use fewer workers."
            ) from error

    def _start(self) -> ProcessPoolExecutor:
        why: BaseException | None = None
        for _ in range(TRIES):
            if self._closing:
                raise NotStarted("the pool is closing")
            try:
                return self._start_once()
            except NO_ANSWER as error:
                why = error
        raise NotStarted(
            "a worker process could not be started; where the system is short of memory or processes "
            "(ulimit -u), use fewer workers"
        ) from why

    def _start_once(self) -> ProcessPoolExecutor:
        place = self._local.place
        gpu = self._gpus[place % len(self._gpus)] if self._gpus else None
        pool = ProcessPoolExecutor(1, context(), _begin, (gpu, self._threads))
        late = stuck_workers.unless_in_time(stuck_workers.START, lambda: stuck_workers.processes(_pids(pool)))
        try:
            self._workers[place] = psutil.Process(pool.submit(os.getpid).result())
        except BaseException:
            pool.shutdown(wait=False)
            raise
        finally:
            late.cancel()
        self._local.pool = self._pools[place] = pool
        return pool


def _pids(pool: ProcessPoolExecutor) -> list[int]:
    """Processes of a pool, as far as this Python tells."""
    return list(getattr(pool, "_processes", None) or ())


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES must say to name each GPU; found without starting CUDA in this process."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [one.strip() for one in chosen.split(",") if one.strip() not in ("", "-1")]
    return [str(index) for index in range(torch.cuda.device_count())]


def _begin(gpu: str | None, threads: int) -> None:
    """What a worker does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides what an interrupt means
    end_with(os.getppid())  # the fork server: also where this process is stopped, and no thread runs
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_the_runner, daemon=True).start()


def _end_with_the_runner() -> None:
    """Nobody would read the answers of a runner that was killed; its claims are free at once."""
    runner = multiprocessing.parent_process()
    if runner is not None:
        runner.join()
        os._exit(1)


def _cores() -> int:
    count = getattr(os, "sched_getaffinity", None)
    return len(count(0)) if count is not None else os.cpu_count() or 1
