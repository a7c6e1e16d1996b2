"""Jobs on a Dask cluster that somebody has started; see docs/scale.md."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from typing import Any

from benchmarks.errors import ExecutionError
from benchmarks.execution.lost_workers import DiedOften, ExecutorLost

SECONDS = 20  # to wait for a scheduler


class DaskExecutor(Executor):
    """Submits to the scheduler at an address; the scheduler queues, and starts a job anew if a worker dies.

    Args:
        address: of the scheduler, e.g. "tcp://10.0.0.1:8786".

    Raises:
        ExecutionError: distributed is not installed, or no scheduler answers.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise ExecutionError("--scheduler needs Dask: pip install spikemark[dask]") from error
        try:
            self._client: Any = Client(address, timeout=SECONDS, name="spikemark", set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ExecutionError(
                f"no Dask scheduler answers at {address}: {error}. Start one with: dask scheduler"
            ) from error
        self._address = address

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a job; its future raises `ExecutorLost` when the scheduler is gone."""
        outer: Future[Any] = Future()
        outer.set_running_or_notify_cancel()
        try:
            inner = self._client.submit(fn, *args, pure=False, **kwargs)
        except Exception as error:
            raise ExecutorLost(self._gone) from error
        outer.inner = inner  # type: ignore[attr-defined]  # Dask drops work that no future points to
        inner.add_done_callback(lambda found: self._settle(outer, found))
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster as it is; with `cancel_futures`, take back what has not begun."""
        with suppress(Exception):
            self._client.close(timeout=2)

    def _settle(self, outer: Future[Any], inner: Any) -> None:
        try:
            outer.set_result(inner.result(timeout=SECONDS))
        except CancelledError:
            outer.set_exception(ExecutorLost(self._gone))
        except Exception as error:
            name = type(error).__name__
            if name in ("KilledWorker", "NoValidWorkerError"):
                outer.set_exception(DiedOften(str(error)))
            elif name == "FutureCancelledError" or isinstance(error, OSError | TimeoutError):
                outer.set_exception(ExecutorLost(self._gone))
            else:
                outer.set_exception(error)

    @property
    def _gone(self) -> str:
        return f"the Dask scheduler at {self._address} is gone"
