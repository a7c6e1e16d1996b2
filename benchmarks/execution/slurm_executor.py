"""Jobs on Slurm through submitit, one Slurm job each; see docs/scale.md."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.errors import ExecutionError
from benchmarks.execution.lost_workers import WorkerDied
from benchmarks.execution.where import Where

POLL = 1.0  # seconds; submitit asks Slurm itself less often


class SlurmExecutor(Executor):
    """Submits with sbatch and watches for results.

    submitit keeps the function and its result as pickles in `where.logs`, which is therefore never the
    results folder: nothing that is loaded from there may run code.

    Raises:
        ExecutionError: submitit is not installed, or this machine has no Slurm.
    """

    def __init__(self, where: Where) -> None:
        try:
            import submitit
        except ImportError as error:
            raise ExecutionError("--slurm needs submitit: pip install spikemark[slurm]") from error
        folder: Path = where.logs.expanduser()
        try:
            executor: Any = submitit.AutoExecutor(folder=folder / "%j", cluster=where.cluster)
            executor.update_parameters(
                name="spikemark",
                timeout_min=where.minutes,
                cpus_per_task=where.cpus,
                **({"gpus_per_node": where.gpus} if where.gpus else {}),
                **({"mem_gb": where.memory_gb} if where.memory_gb else {}),
                **({"slurm_partition": where.partition} if where.partition else {}),
            )
        except (RuntimeError, OSError) as error:
            raise ExecutionError(f"cannot submit to Slurm from here: {error}") from error
        self._submitit = submitit
        self._executor = executor
        self._folder = folder
        self._open: dict[Future[Any], Any] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="slurm", daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a job; its future raises `WorkerDied` if Slurm or the system ends it."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            job = self._executor.submit(Requeued(fn), *args, **kwargs)
        except Exception as error:
            raise ExecutionError(f"Slurm refused a job: {error}") from error
        with self._lock:
            self._open[future] = job
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop watching; with `cancel_futures`, cancel what is queued or running."""
        self._ended.set()
        if cancel_futures:
            for job in self._open.values():
                with suppress(Exception):
                    job.cancel()

    def _watch(self) -> None:
        while not self._ended.wait(POLL):
            with self._lock:
                ended = [future for future, job in self._open.items() if job.done()]
                jobs = [self._open.pop(future) for future in ended]
            for future, job in zip(ended, jobs, strict=True):
                self._settle(future, job)

    def _settle(self, future: Future[Any], job: Any) -> None:
        try:
            future.set_result(job.result())
        except self._submitit.core.utils.FailedJobError as error:
            future.set_exception(WorkerDied(f"Slurm job {job.job_id}: {error}"))
        except Exception as error:
            lost = WorkerDied(f"Slurm job {job.job_id} ended without a result ({error}); see {self._folder}")
            future.set_exception(lost)


class Requeued:
    """Calls a function; a job that Slurm preempts or times out is queued again, and goes on where it was."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = fn

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self._fn(*args, **kwargs)

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """What submitit queues in its place."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, *args, **kwargs)
