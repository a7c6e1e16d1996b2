import os
from pathlib import Path

import pytest

from leaderboard.files.atomic import StoreError, check_writable, write_text_atomically


def test_writes_and_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    write_text_atomically(path, "first")
    write_text_atomically(path, "≤ second\n")
    assert path.read_bytes() == "≤ second\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_crash_before_the_replacement_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    write_text_atomically(path, "old")
    seen: list[str] = []

    def crash(source: Path, target: Path) -> None:
        seen.append(Path(source).read_text())
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_text_atomically(path, "new")
    assert seen == ["new"]  # the whole text had reached the temporary file
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    write_text_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot write .*record\.json: No space left on device\. Free some"):
        write_text_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_exist_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"cannot write .*page\.html: .*another output folder"):
        write_text_atomically(tmp_path / "file" / "page.html", "text")


@pytest.mark.parametrize(
    ("code", "advice"),
    [(28, "Free some space there"), (30, "Make the folder writable"), (13, "Make the folder writable")],
)
def test_a_folder_is_tried_before_any_work_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, advice: str
) -> None:
    check_writable(tmp_path / "records")

    def refuse(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreError) as caught:
        check_writable(tmp_path / "records")
    where = f"cannot write {tmp_path / 'records'}: {os.strerror(code)}"
    assert str(caught.value) == f"{where}. {advice}, or choose another output folder."
    assert list((tmp_path / "records").iterdir()) == []
