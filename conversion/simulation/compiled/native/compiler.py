"""Runs a C compiler as a stranger: it may ask for input, print without end, hang, or start others that do."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress

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
    ear, mouth = os.pipe()
    # The listener alone closes its end. Whoever else did so might close it under a read.
    listener = threading.Thread(target=_listen, args=(ear, said), daemon=True)
    listener.start()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=mouth,
            start_new_session=True,
        )
    finally:
        os.close(mouth)  # from here on, the pipe ends with those that it was given to
    with process:
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


def _listen(ear: int, said: bytearray) -> None:
    try:
        while part := os.read(ear, 1 << 16):
            said += part[: MOST - len(said)]
    finally:
        os.close(ear)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and those that it has started, which may have outlived it."""
    if hasattr(os, "killpg"):
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
