"""Where jobs run, behind one interface: `concurrent.futures.Executor`.

The runner submits jobs and waits for futures; nothing else of it depends on where they run. What an executor
raises when a worker or a scheduler is gone stands in `lost_workers`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from benchmarks.execution.where import Where


def open_executor(where: Where) -> Executor:
    """The executor for a place.

    Raises:
        ExecutionError: a package is missing, or nobody answers at the address.
    """
    if where.scheduler:
        from benchmarks.execution.dask_executor import DaskExecutor

        return DaskExecutor(where.scheduler)
    if where.slurm:
        from benchmarks.execution.slurm_executor import SlurmExecutor

        return SlurmExecutor(where)
    if where.workers:
        from benchmarks.execution.pool import WorkerPool

        return WorkerPool(where.workers, where.threads)
    return InProcess()


class InProcess(Executor):
    """Runs what is submitted at once, in the calling thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run; an interrupt is not kept in the future but raised here."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
