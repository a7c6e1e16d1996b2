"""How long an owner has been silent, by the clock of the disk that everybody shares.

A heartbeat is the modification time of a claim. Where a clock was or is wrong, it may lie in the future, and
then its age is unknown. The first process that sees such a heartbeat notes it beside the claim. The owner
counts as silent from that moment on, until the heartbeat changes.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from leaderboard.files.plain_files import read_plain

AHEAD = 5.0  # seconds that a heartbeat may lie in the future without a doubt

_SEEN: dict[Path, tuple[int, float]] = {}  # heartbeat and when it was found, where nothing can be written


def silence(claim: Path, beat: int) -> float:
    """Seconds since the owner of a claim was heard of.

    Args:
        claim: its file.
        beat: its modification time in nanoseconds.
    """
    now = disk_time(claim.parent)
    if beat / 1e9 <= now + AHEAD:
        return now - beat / 1e9
    noted = note_of(claim)
    try:
        if read_plain(noted) == str(beat).encode():
            since = now - noted.stat().st_mtime
            if since >= -AHEAD:
                return since
    except OSError:
        pass
    try:
        noted.unlink(missing_ok=True)
        with noted.open("x") as stream:
            stream.write(str(beat))
    except OSError:
        return unseen(claim, beat)
    return 0.0


def unseen(claim: Path, beat: int = 0) -> float:
    """Seconds since this process first met a claim with this heartbeat, or with none that can be seen."""
    known = _SEEN.get(claim)
    if known is None or known[0] != beat:
        _SEEN[claim] = known = (beat, time.monotonic())
    return time.monotonic() - known[1]


def forget(claim: Path) -> None:
    """Remove what was noted of a claim."""
    _SEEN.pop(claim, None)
    with suppress(OSError):
        note_of(claim).unlink(missing_ok=True)


def note_of(claim: Path) -> Path:
    """File of what was noted of a claim."""
    return claim.with_name(f".{claim.name}.ahead.tmp")


def disk_time(folder: Path) -> float:
    """The time of the file system, which on other machines may differ from the clock."""
    probe = folder / f".clock.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
        return now
    except OSError:  # a folder that is only read
        return time.time()
