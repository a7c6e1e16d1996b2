"""Files that others wrote are read without waiting, without end, and without leaving anything open."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from leaderboard.files.plain_files import read_plain


def odd_kinds(folder: Path) -> dict[str, Path]:
    """One file of every kind that is no plain one."""
    found = {name: folder / name for name in ("pipe", "folder", "socket", "to a pipe", "loop", "to nothing")}
    os.mkfifo(found["pipe"])
    found["folder"].mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(found["socket"]))
    found["to a pipe"].symlink_to(found["pipe"])
    found["loop"].symlink_to(found["loop"])
    found["to nothing"].symlink_to(folder / "nothing")
    return found | {"device": Path("/dev/zero"), "terminal": Path("/dev/tty"), "gone": folder / "gone"}


def test_what_is_no_plain_file_is_an_error_at_once(tmp_path: Path) -> None:
    kinds = odd_kinds(tmp_path)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else None
    for path in kinds.values():
        with pytest.raises(OSError):  # noqa: PT011 - the kind of error differs, as do the files
            read_plain(path)
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("size", "most"), [(0, 0), (0, 9), (1, 1), (9, 9), (70_000, 70_000)])
def test_a_plain_file_is_read_whole(tmp_path: Path, size: int, most: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    assert read_plain(path, most) == path.read_bytes()
    path.write_bytes(os.urandom(most + 1))
    with pytest.raises(OSError, match=f"larger than {most} bytes"):
        read_plain(path, most)


def test_size_is_bounded_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as stream:
        stream.truncate(2**40)  # a terabyte, of which nothing is on the disk
    with pytest.raises(OSError, match="larger than"):
        read_plain(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no files that say no size")
def test_a_file_that_says_no_size_is_read_to_its_end_or_its_bound() -> None:
    path = Path("/proc/self/status")
    assert path.stat().st_size == 0
    assert read_plain(path).startswith(b"Name:")
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_plain(path, 10)


def test_a_link_is_followed_unless_it_must_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    assert read_plain(link) == b"x"
    with pytest.raises(OSError):  # noqa: PT011
        read_plain(link, follow=False)
