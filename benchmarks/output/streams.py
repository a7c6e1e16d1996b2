"""Standard output that ends no work: full disks, closed pipes, terminals of few characters."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import select
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, TextIO

import click

from benchmarks.output.screen import say
from benchmarks.output.text import NEAREST, shown


class Lasting(io.RawIOBase):
    """Writes to a descriptor; once that fails, everything is dropped and the first error is kept.

    Args:
        descriptor: to write to; it stays open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        """Write what can be written."""
        size = memoryview(content).nbytes
        while self.error is None:
            try:
                return os.write(self._descriptor, content)
            except BlockingIOError:  # a pipe that does not wait, as some programs share one, is full
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
        return size

    def writable(self) -> bool:
        """Always, to those who ask."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)


class Spikemark(click.Group):
    """The command; its help and its error messages are printed like everything else."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run it, as `click.Group.main` does."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        with lasting_output():
            raise SystemExit(self._code(args, prog_name, complete_var, extra))

    def _code(
        self,
        args: Sequence[str] | None,
        prog_name: str | None,
        complete_var: str | None,
        extra: dict[str, Any],
    ) -> int:
        try:
            answer = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            text = io.StringIO()
            error.show(text)
            say(text.getvalue(), err=True, nl=False)
            return error.exit_code
        except click.Abort:
            say("Aborted!", err=True)
            return 1
        return answer if isinstance(answer, int) else 0


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """Keep the work going when standard output or standard error cannot be written.

    Ends with code 1 where something was not printed, and says so on standard error.
    """
    _occupy_closed()
    before = sys.stdout, sys.stderr
    out, err = _lasting(sys.stdout, 1), _lasting(sys.stderr, 2)
    if out is None or err is None:  # a test, or a notebook
        yield
        return
    sys.stdout, sys.stderr = out[0], err[0]
    _encode_what_python_prints()
    try:
        yield
    except SystemExit as end:
        _flush()
        lost = out[1].error
        if lost is None:
            raise
        if lost.errno != errno.EPIPE:
            say(f"spikemark: standard output could not be written: {lost.strerror}", err=True)
        raise SystemExit(end.code or 1) from end
    finally:
        _flush()
        sys.stdout, sys.stderr = before


def _occupy_closed() -> None:
    """Give the numbers of closed streams to something that cannot be written.

    Else the next file that is opened gets such a number, and what a library prints goes into a record.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)


def _lasting(stream: TextIO | None, number: int) -> tuple[TextIO, Lasting] | None:
    """A stream that lasts, and what it writes to; `stream` is None where Python found it closed."""
    try:
        raw = Lasting(number if stream is None else stream.fileno())
        encoding, terminal = ("utf-8", False) if stream is None else (stream.encoding, stream.isatty())
        if stream is not None:
            stream.flush()
    except (OSError, ValueError, AttributeError):
        return None
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, NEAREST, line_buffering=terminal), raw


def _encode_what_python_prints() -> None:
    """Warnings, log lines and tracebacks quote files, too."""
    plain = warnings.formatwarning
    warnings.formatwarning = lambda *a, **k: shown(plain(*a, **k))
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Shown())
    sys.excepthook = _print_traceback


class _Shown(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    say("".join(traceback.format_exception(kind, error, trace)), err=True, nl=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
