"""Who holds a claim: a process, told from every other process of every other machine."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import ConfigDict, Field

STOPPED = "Tt"  # states of /proc in which a process runs no further: by a signal, by a debugger
ENDED = "ZXx"

Name = Annotated[str, Field(max_length=256)]


@dataclass(frozen=True)
class Owner:
    """A process. Its pid is unique in its name space, and its start tells it from a later one of that pid.

    Cloned machines have one name, and the first name space has the same number everywhere. Only the start of
    the kernel, the machine, its name and the name space together say that two processes see each other.
    """

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    host: Name
    machine: Name  # that the system was installed on
    boot: Name  # of the kernel, drawn anew whenever it starts
    space: Name  # of process ids; containers of one host may each have their own
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    started: Annotated[
        float, Field(ge=0, lt=1e11)
    ]  # seconds since the boot; Unix time where there is no /proc

    @staticmethod
    def here() -> Owner:
        """This process."""
        pid = os.getpid()
        return Owner(*_place(), pid, _look(pid)[0])

    @property
    def alive(self) -> bool | None:
        """Whether the process runs; None where that cannot be seen from here, or where it is stopped."""
        place = (self.host, self.machine, self.boot, self.space)
        if place != _place() or not all(place):
            return None
        try:
            started, state = _look(self.pid)
        except psutil.AccessDenied:
            return None
        except (OSError, ValueError, psutil.Error):
            return None if _exists(self.pid) else False
        if abs(started - self.started) >= 1 or state in ENDED:
            return False
        return None if state in STOPPED else True

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _place() -> tuple[str, str, str, str]:
    """What all processes have in common that can see each other."""
    return socket.gethostname(), _machine(), _boot(), _space()


@cache
def _machine() -> str:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            return Path(path).read_text(encoding="ascii").strip() or f"{uuid.getnode():012x}"
        except (OSError, ValueError):
            continue
    return f"{uuid.getnode():012x}"


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return f"{psutil.boot_time():.0f}"


def _space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "the only one"


def _look(pid: int) -> tuple[float, str]:
    """When a process started, and its state.

    Not the Unix time that psutil gives: it is computed from the clock, and setting the clock changes it.
    """
    if os.path.exists("/proc/self/stat"):
        words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(words[19]) / os.sysconf("SC_CLK_TCK"), words[0].decode("ascii")
    process = psutil.Process(pid)
    state = {psutil.STATUS_ZOMBIE: "Z", psutil.STATUS_STOPPED: "T"}.get(process.status(), "R")
    return process.create_time(), state


def _exists(pid: int) -> bool:
    """Whether there is a process of that number, even one that only its user may look at."""
    if os.name != "posix":  # there, the signal 0 is one
        return bool(psutil.pid_exists(pid))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
