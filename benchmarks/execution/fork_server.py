"""The process that workers are forked from; it has imported what they need and runs nothing else.

Imports take seconds of a processor. `warm_up` lets the fork server begin with its own before the command has
done the same, so that the two overlap; that is why this file knows the standard library only.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from typing import Any

from benchmarks.execution.fork_guard import PARENT

PRELOADED = ["benchmarks.execution.fork_guard", "benchmarks.execution.jobs"]


def context() -> Any:
    """How workers are started: by a fork server, or spawned where there is none."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        found = multiprocessing.get_context("forkserver")
        found.set_forkserver_preload(PRELOADED)
        return found
    return multiprocessing.get_context("spawn")


def warm_up() -> None:
    """Start the fork server now, without waiting for it; does nothing where there is none.

    Called from the main thread, it ends with this process, see `fork_guard`.
    """
    if context().get_start_method() != "forkserver":
        return
    from multiprocessing import forkserver

    if threading.current_thread() is not threading.main_thread():  # others cannot set signals
        forkserver.ensure_running()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: an interrupt is the runner's business
    os.environ[PARENT] = str(os.getpid())
    try:
        forkserver.ensure_running()
    finally:
        del os.environ[PARENT]
        signal.signal(signal.SIGINT, before)
