"""The folder for results that depend only on the machine, kept between runs."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path:
    """SPIKEMARK_CACHE, or our folder among the user's caches; it need not exist yet."""
    own = os.environ.get("SPIKEMARK_CACHE")
    if own:
        return Path(own)
    import platformdirs  # where the folder is named, machines without it simulate as well

    with suppress(RuntimeError):
        found = platformdirs.user_cache_path("spikemark", appauthor=False)
        if found.is_absolute():  # not below a folder called ~, where nobody knows the home
            return found
    return Path(tempfile.gettempdir()) / f"spikemark-{os.getuid()}"


def read_kept(path: Path, most: int = 2**20) -> bytes:
    """Content of a small file of this folder, which others may have written.

    Raises:
        OSError: it is not there, no plain file, or too large.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise OSError(f"{path} is no small file")
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)
