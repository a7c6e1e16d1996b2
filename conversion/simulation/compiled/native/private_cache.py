"""A compiled library on the disk; it is loaded only if this user alone can have written it.

    <folder>/<name>.so          the library
    <folder>/<name>.so.sha256   what it must hash to
    <folder>/<name>.lock        held while one process compiles and others wait

Loading a library runs it. So a file of another user, or one that others may write, is never loaded, nor one
in such a folder: in a shared cache every user has a folder of their own. A library that is not what was
written, because a disk was full, a bit flipped or the machine went down, is compiled again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

PATIENCE = 660.0  # seconds to wait for another process that compiles, which may take 600
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class ForeignError(OSError):
    """A folder or file belongs to another user, or others may write it."""


def library(cache: Path, name: str, compile_to: Callable[[Path], None], anew: bool = False) -> Path:
    """A sound library of this name, compiled if there is none; processes that ask at once compile once.

    Args:
        cache: folder, which users may share; created where it is missing.
        name: of the library; whatever changes its content changes its name.
        compile_to: writes the library to a path.
        anew: compile it even if it looks sound.

    Raises:
        OSError: it cannot be compiled or written, or only in a folder that others may write.
    """
    folder = private_folder(cache)
    target = folder / f"{name}.so"
    if not anew and is_sound(target):
        return target
    try:
        with FileLock(folder / f"{name}.lock", timeout=PATIENCE):
            if anew or not is_sound(target):
                _compile(target, compile_to)
    except Timeout as error:
        raise OSError(
            f"{error.lock_file} has been locked for {PATIENCE:g} s by a process that compiles"
        ) from error
    if not is_sound(target):
        raise OSError(f"{target} is not what was just written there")
    return target


def private_folder(cache: Path) -> Path:
    """The cache, or where others may write it a folder in it that they may not.

    Raises:
        ForeignError: that folder, too, belongs to another user.
        OSError: it cannot be created.
    """
    if not cache.exists():
        cache.mkdir(parents=True, mode=0o700, exist_ok=True)
    if _is_private(cache.stat()):  # the path to it may be a link: it was named by the user
        return cache
    own = cache / f"user-{os.geteuid()}"
    with suppress(FileExistsError):
        own.mkdir(mode=0o700)
    found = own.lstat()
    if not stat.S_ISDIR(found.st_mode) or not _is_mine(found):
        raise ForeignError(
            f"{own} belongs to another user, and what is in it would be run. Set SPIKEMARK_CACHE to a folder "
            "of yours"
        )
    if found.st_mode & OTHERS_WRITE:
        own.chmod(0o700)
    return own


def is_sound(path: Path) -> bool:
    """Whether a library is ours alone, and is what was written."""
    try:
        content, said = _read_private(path), _read_private(_hash_of(path))
    except OSError:
        return False
    return hashlib.sha256(content).hexdigest().encode() == said.strip()


def _compile(target: Path, compile_to: Callable[[Path], None]) -> None:
    _sweep(target)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.stem}-", dir=target.parent))
    try:
        unfinished, said = scratch / "library.so", scratch / "library.so.sha256"
        compile_to(unfinished)
        unfinished.chmod(0o700)
        content = unfinished.read_bytes()
        said.write_text(hashlib.sha256(content).hexdigest() + "\n", encoding="ascii")
        said.chmod(0o600)
        _sync(unfinished)
        _sync(said)
        _hash_of(target).unlink(missing_ok=True)  # between the two renames it is not sound
        os.replace(unfinished, target)
        os.replace(said, _hash_of(target))
        _sync(target.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sweep(target: Path) -> None:
    """Remove what processes that were killed while they compiled this library left; the lock is held."""
    for left in target.parent.glob(f".{target.stem}-*"):
        shutil.rmtree(left, ignore_errors=True)
    for path in (target, _hash_of(target)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _hash_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _read_private(path: Path) -> bytes:
    """Content of a plain file that no other user can have written."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    with open(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or not _is_private(found):
            raise ForeignError(f"{path} may have been written by another user")
        return stream.read()


def _is_private(found: os.stat_result) -> bool:
    return _is_mine(found) and not (os.name == "posix" and found.st_mode & OTHERS_WRITE)


def _is_mine(found: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or found.st_uid == os.geteuid()  # Windows has other rights


def _sync(path: Path) -> None:
    if os.name != "posix":  # no other system opens folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
