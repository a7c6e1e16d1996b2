"""Processes that end with the one that started them, even where that is killed and can tell nobody."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Let the system kill this process when the thread that started it ends; on Linux, and nowhere else.

    Args:
        parent: process id of the one that started it; where that has ended already, this one ends at once.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was too late
        os._exit(1)
