"""Writing a file so that a reader never sees half of it.

The content goes to a temporary file in the same folder, is flushed to the disk, and then takes the
place of the old file in one step (`os.replace`). A crash at any moment leaves either the old file
or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from pathlib import Path

PROBE = 65536  # bytes, about one record
FULL = (errno.ENOSPC, errno.EDQUOT)
LOCKED = (errno.EROFS, errno.EACCES, errno.EPERM)


class StoreError(RuntimeError):
    """A file of the leaderboard cannot be read or written; the message names it and the way out."""


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, all or nothing, creating missing folders.

    Args:
        path: file to create or replace.
        text: whole content.

    Raises:
        StoreError: the folder cannot be written or the disk is full; an older file stays as it was.
    """
    write_atomically(path, text.encode("utf-8"))


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` likewise.

    Raises:
        StoreError: as above.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> StoreError:
    """What to tell people where `path` cannot be written, and what they can do about it."""
    if error.errno in FULL:
        advice = "Free some space there"
    elif error.errno in LOCKED:
        advice = "Make the folder writable"
    elif error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        advice = "Move away what stands where a folder or file must be"
    else:
        advice = "See to that disk"
    return StoreError(
        f"cannot write {path}: {error.strerror or error}. {advice}, or choose another output folder."
    )


def check_writable(folder: Path) -> None:
    """Find out before any work is done whether files can be written to a folder.

    Raises:
        StoreError: they cannot; says what to do.
    """
    probe = folder / f".probe.{uuid.uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with probe.open("xb") as stream:
            stream.write(b"\0" * PROBE)
            os.fsync(stream.fileno())
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; not every platform lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
