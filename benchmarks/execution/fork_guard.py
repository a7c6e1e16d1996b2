"""Ends the fork server when the command ends, even by a kill; the fork server imports this file first.

Without it, the fork server notices the end of the command late: after its imports, which take a while on a
busy machine, and after its last worker. This works on Linux; on other systems the fork server ends later.
An interrupt is the runner's business: the fork server is started with interrupts blocked, and ignores them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT = "SPIKEMARK_FORK_SERVER_OF"  # process id of the command, for the fork server alone
PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Let the system kill this process when the thread that started it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was too late
        os._exit(1)


def ignore_interrupts() -> None:
    """From the beginning on; workers inherit it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


_parent = os.environ.pop(PARENT, "")
if _parent.isdigit():
    ignore_interrupts()
    if sys.platform == "linux":
        end_with(int(_parent))
