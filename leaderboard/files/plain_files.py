"""Files that others wrote: read without waiting, without end, and without trust."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

SMALL = 2**16  # bytes of a claim or of its progress
LARGE = 2**26  # bytes of the note of a run, which names all its cells
LARGEST = 256_000_000  # bytes of a record or of a study
NO_PLAIN_FILE = "is no plain file"

_PART = 2**16  # bytes that are read at once of a file that says no size

T = TypeVar("T")


def read_plain(path: Path, most: int = SMALL, follow: bool = True) -> bytes:
    """Content of a plain file; a pipe or a device could make the reader wait for ever.

    Args:
        path: of the file.
        most: bytes that it may have.
        follow: whether it may be a link to such a file.

    Raises:
        OSError: there is none, it is of another kind or too large, or it may not be read.
    """
    links = 0 if follow else getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | links)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, NO_PLAIN_FILE, str(path))
        parts, count, asked = [], 0, found.st_size + 1
        while found.st_size <= most and count <= most and (part := os.read(descriptor, asked)):
            parts.append(part)
            count, asked = count + len(part), _PART
    finally:
        os.close(descriptor)
    if found.st_size > most or count > most:
        raise OSError(errno.EFBIG, f"is larger than {most} bytes", str(path))
    return b"".join(parts)


def read_as(shape: TypeAdapter[T], path: Path, most: int = SMALL, follow: bool = True) -> T:
    """Content of a small JSON file as the type that it should have.

    Raises:
        OSError: as above.
        ValueError: it holds something else.
    """
    return shape.validate_json(read_plain(path, most, follow))
