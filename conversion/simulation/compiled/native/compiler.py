"""Runs a C compiler as a stranger: it may ask for input, print without end, hang, or start others that do."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

SECONDS = 600.0  # that it may take; on a busy machine, a minute is usual
MOST = 4096  # bytes that are kept of what it says
SHOWN = 500  # characters of it in an error
GOODBYE = 5.0  # seconds to hear the rest once it has ended


def run_compiler(command: Sequence[str]) -> None:
    """Run it to its end, or end it and all that it has started.

    Raises:
        OSError: it could not be run, failed, or took too long; repeats what it said.
    """
    said = bytearray()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        listener = threading.Thread(target=_listen, args=(process.stderr, said), daemon=True)
        listener.start()
        try:
            code = process.wait(SECONDS)
            listener.join(GOODBYE)
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{shlex.join(command)}: not done within {SECONDS:g} s") from error
        finally:
            if process.poll() is None or listener.is_alive():
                _end(process)
    if code:
        words = said.decode("utf-8", "replace").strip()[:SHOWN]
        raise OSError(f"{shlex.join(command)}: {words or f'ended with code {code}'}")


def _listen(stream: IO[bytes], said: bytearray) -> None:
    while part := stream.read1(1 << 16) if hasattr(stream, "read1") else stream.read(1 << 16):
        said += part[: MOST - len(said)]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and those that it has started, which may have outlived it."""
    if hasattr(os, "killpg"):
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
