"""The file of a study: one event a line, each with a checksum over itself and all lines before it.

A line that a kill or a full disk has cut is cut off before the next one is written. Damage further up, which
only a broken disk or a foreign hand makes, is noticed on reading: `open_storage` sets such a file aside, says
so, and goes on with the lines before the damage, because the beginning of a journal is a journal.

Lines of versions that wrote no checksums are read as they are; the first line with one vouches for them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from benchmarks.errors import TuningError
from leaderboard import StoreError
from leaderboard.files.atomic import unwritable
from leaderboard.files.plain_files import read_plain

MOST = 2**32  # bytes of a journal
PATIENCE = 60.0  # seconds to wait for the lock that is held for milliseconds

_AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for its other end
_CHECKED = re.compile(rb'(.*),"check":"([0-9a-f]{8})"\}', re.DOTALL)
_log = logging.getLogger("spikemark.tuning")


class JournalError(TuningError):
    """A journal was damaged or set aside while a study ran."""


class _Damage(Exception):
    """A line is not what was written; says why."""


@dataclass
class _Cursor:
    """A place between two lines, and the checksum of all lines before it."""

    lines: int = 0
    offset: int = 0
    check: int = 0
    checked: bool = False  # whether a line with a checksum came before

    def take(self, line: bytes) -> dict[str, Any]:
        """Move behind a line, given without its end, and return its event."""
        found = _CHECKED.fullmatch(line)
        if found is None:
            if self.checked:
                raise _Damage("has no checksum")
            check = zlib.crc32(line, self.check)
        else:
            check = zlib.crc32(found[1], self.check)
            if check != int(found[2], 16):
                raise _Damage("does not agree with its checksum")
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _Damage("is not JSON") from error
        if not isinstance(event, dict):
            raise _Damage("is no event")
        self.lines, self.offset = self.lines + 1, self.offset + len(line) + 1
        self.check, self.checked = check, found is not None
        return event


class JournalFile(BaseJournalBackend):
    """Reads and appends the events of a study, for Optuna's `JournalStorage`.

    Args:
        path: of the file; created where it is missing.
        lock: file that is locked while an event is appended. Optuna's own locks outlive a process that is
            killed by half a minute; one that the operating system frees does not.

    Raises:
        OSError: the file cannot be created, or is no plain file.
    """

    def __init__(self, path: Path, lock: Path) -> None:
        self.path = path
        self._lock = FileLock(lock, timeout=PATIENCE)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _AT_ONCE, 0o666)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is no plain file")
        self._file = (found.st_dev, found.st_ino)
        self._read, self._written = _Cursor(), _Cursor()
        self.last = 0  # offset of the line that was read last

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Events from this number on; what is being written or was cut short is left out.

        Raises:
            JournalError: a line is damaged.
        """
        if log_number_from < self._read.lines:
            self._read = _Cursor()
        skipped = log_number_from - self._read.lines
        with self._open() as descriptor:
            for number, event in enumerate(self._events(descriptor, self._read)):
                if number >= skipped:
                    yield event

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append events, all or nothing, behind the last whole line.

        Raises:
            StoreError: the disk is full, or the file cannot be written.
            JournalError: a line is damaged.
        """
        with self._turn(), self._open() as descriptor:
            for _ in self._events(descriptor, self._written):
                pass
            end, check, text = self._written.offset, self._written.check, b""
            for log in logs:
                body = json.dumps(log, separators=(",", ":")).encode()[:-1]
                check = zlib.crc32(body, check)
                text += body + f',"check":"{check:08x}"}}\n'.encode()
            try:
                os.ftruncate(descriptor, end)  # what a kill has cut
                os.lseek(descriptor, end, os.SEEK_SET)
                _write(descriptor, text)
            except OSError as error:
                os.ftruncate(descriptor, end)
                raise unwritable(self.path, error) from error

    def set_aside(self, reason: object) -> Path:
        """Keep the damaged file under another name, and go on with the lines before the one read last.

        Returns:
            The other name.

        Raises:
            OSError: the folder cannot be written.
        """
        aside = next(
            path
            for number in range(1, 1000)
            if not (path := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists()
        )
        with self._turn():
            whole = self.path.read_bytes()[: self.last]
            try:
                os.link(self.path, aside)
            except OSError:  # a file system without links
                shutil.copyfile(self.path, aside)
            unfinished = self.path.with_name(f".{self.path.name}.tmp")
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                _write(descriptor, whole)
            finally:
                os.close(descriptor)
            os.replace(unfinished, self.path)
        lines = whole.count(b"\n")
        _log.warning(
            "%s: line %d %s. The file was set aside as %s; the study goes on with the %d lines before.",
            *(self.path, lines + 1, reason, aside.name, lines),
        )
        return aside

    def _events(self, descriptor: int, cursor: _Cursor) -> Iterator[dict[str, Any]]:
        os.lseek(descriptor, cursor.offset, os.SEEK_SET)
        with open(descriptor, "rb", closefd=False) as stream:
            lines = stream.read().split(b"\n")
        for line in lines[:-1]:  # the last one is empty, or not whole
            self.last = cursor.offset
            try:
                event = cursor.take(line)
            except _Damage as error:
                raise JournalError(
                    f"{self.path}: line {cursor.lines + 1} {error}: the file was damaged. The same command "
                    "goes on from the lines before."
                ) from error
            yield event

    @contextmanager
    def _open(self) -> Iterator[int]:
        try:
            descriptor = os.open(self.path, os.O_RDWR | _AT_ONCE)
        except OSError as error:
            raise unwritable(self.path, error) from error
        try:
            found = os.fstat(descriptor)
            if (found.st_dev, found.st_ino) != self._file or found.st_size < self._read.offset:
                raise JournalError(
                    f"{self.path} was replaced while the study ran; start the same command again, which goes "
                    "on from what is there"
                )
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with held(self._lock):
            yield


def open_storage(path: Path, lock: Path) -> JournalStorage:
    """The events of a file, replayed; a damaged file is set aside, and said so.

    Nobody else may open the file meanwhile.

    Raises:
        OSError, StoreError: the file cannot be read or written.
    """
    while True:
        file = JournalFile(path, lock)
        try:
            return JournalStorage(file)
        except (OSError, StoreError):
            raise
        except JournalError as error:
            file.set_aside(error.__cause__)
        except Exception:  # events that Optuna cannot replay make it raise anything
            file.set_aside("cannot be replayed")


def verify(path: Path) -> tuple[int, str, int]:
    """Look at a journal without changing it.

    Returns:
        Sound lines from the beginning on; what is wrong behind them; and if nothing is, bytes of a last line
        that is not whole.
    """
    cursor = _Cursor()
    try:
        *lines, rest = read_plain(path, MOST).split(b"\n")
    except OSError as error:
        return 0, f"cannot be read: {error.strerror}", 0
    for line in lines:
        try:
            cursor.take(line)
        except _Damage as error:
            return cursor.lines, f"line {cursor.lines + 1} {error}", 0
    return cursor.lines, "", len(rest)


@contextmanager
def held(lock: FileLock) -> Iterator[None]:
    """Hold a lock of a study.

    Raises:
        StoreError: it cannot be had; says why.
    """
    path = Path(lock.lock_file)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"{path} has been locked for {lock.timeout:g} s; is a process stopped that tunes here? Remove it "
            "if nothing runs"
        ) from error
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _write(descriptor: int, content: bytes) -> None:
    """Write all of it, down to the disk."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)
