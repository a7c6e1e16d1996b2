"""The process that workers are forked from; it has imported what they need and runs nothing else.

Imports take seconds of a processor. `warm_up` lets the fork server begin with its own before the command has
done the same, so that the two overlap; that is why this file knows the standard library only.

Python keeps its fork server under private names. A version of Python without them starts it by itself, with
the first worker; then it ends a little later than the command, and is found by its command line.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from benchmarks.execution.fork_guard import PARENT

PRIVATE = ("ensure_running", "_forkserver_pid")  # of Python's own fork server
PRELOADED = ["benchmarks.execution.fork_guard", "benchmarks.execution.jobs"]


def context() -> Any:
    """How workers are started: by a fork server, or spawned where there is none."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        found = multiprocessing.get_context("forkserver")
        found.set_forkserver_preload(PRELOADED)
        server = _server()
        if server is not None:
            # Where a fork server was killed, Python starts another one with the next worker, from any thread.
            server.ensure_running = _KEEPER.ask
        return found
    return multiprocessing.get_context("spawn")


def warm_up() -> None:
    """See to it that a fork server runs, without waiting for its imports; does nothing where there is none.

    Called from any thread; the fork server ends with this process, see `fork_guard`.
    """
    if context().get_start_method() == "forkserver" and _server() is not None:
        _KEEPER.ask()


def end() -> None:
    """Kill the fork server, if one runs; before the next worker, another one is started."""
    pid = process_id()
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def process_id() -> int | None:
    """Process id of the fork server that was started last; None where there is none."""
    server = _server()
    if server is None:
        return _found()
    known: int | None = server._forkserver_pid
    return known


def _server() -> Any | None:
    """What Python knows of the fork server of this process; None where this Python keeps it elsewhere."""
    from multiprocessing import forkserver

    found = getattr(forkserver, "_forkserver", None)  # private: Python has no other place to ask
    return found if all(hasattr(found, name) for name in PRIVATE) else None


def _found() -> int | None:
    """The child of this process that is a fork server, by its command line."""
    import psutil

    for child in reversed(psutil.Process().children()):
        with suppress(psutil.Error):
            if "multiprocessing.forkserver" in " ".join(child.cmdline()):
                return int(child.pid)
    return None


class _Keeper:
    """A thread that starts fork servers; it never ends, for they end with the thread that began them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: SimpleQueue[Future[None]] | None = None
        self._of = 0  # process id: a process that was forked has no threads of its parent

    def ask(self) -> None:
        """Let the thread see to it that a fork server runs."""
        with self._lock:
            if self._asked is None or self._of != os.getpid():
                self._asked, self._of = SimpleQueue(), os.getpid()
                threading.Thread(
                    target=self._keep, args=(self._asked,), name="fork server", daemon=True
                ).start()
            done: Future[None] = Future()
            self._asked.put(done)
        done.result()

    @staticmethod
    def _keep(asked: SimpleQueue[Future[None]]) -> None:
        from multiprocessing import resource_tracker

        while True:
            done = asked.get()
            os.environ[PARENT] = str(os.getpid())
            try:
                resource_tracker.ensure_running()  # sets the signals of this thread
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited, see `fork_guard`
                server = _server()
                if server is not None:
                    type(server).ensure_running(server)
                done.set_result(None)
            except Exception as error:
                done.set_exception(error)
            finally:
                del os.environ[PARENT]


_KEEPER = _Keeper()
