"""Small files that others wrote: read without waiting, without end, and without trust."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

SMALL = 2**16  # bytes of a claim or of its progress
LARGE = 2**26  # bytes of the note of a run, which names all its cells

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
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no plain file", str(path))
        content = stream.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"is larger than {most} bytes", str(path))
    return content


def read_as(shape: TypeAdapter[T], path: Path, most: int = SMALL, follow: bool = True) -> T:
    """Content of a small JSON file as the type that it should have.

    Raises:
        OSError: as above.
        ValueError: it holds something else.
    """
    return shape.validate_json(read_plain(path, most, follow))
