"""Ends the fork server when the command ends, even by a kill; the fork server imports this file first.

Without it, the fork server notices the end of the command late: after its imports, which take a while on a
busy machine, and after its last worker. This works on Linux; on other systems the fork server ends later.
An interrupt is the runner's business: the fork server is started with interrupts blocked, and ignores them.
"""

from __future__ import annotations

import os
import signal

from benchmarks.coordination.orphans import end_with

PARENT = "SPIKEMARK_FORK_SERVER_OF"  # process id of the command, for the fork server alone


def ignore_interrupts() -> None:
    """From the beginning on; workers inherit it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


_parent = os.environ.pop(PARENT, "")
if _parent.isdigit():
    ignore_interrupts()
    end_with(int(_parent))
