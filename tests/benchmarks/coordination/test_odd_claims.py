"""Claims that are not what this process would have written: nobody is robbed, nobody waits for ever."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.coordination import claims as claims_module
from benchmarks.coordination import owners
from benchmarks.coordination.claims import SILENCE, Claims
from benchmarks.coordination.heartbeats import note_of
from benchmarks.coordination.owners import Owner
from benchmarks.execution.status import show_status

KEY = "cell-0123456789abcdef"
DEAD = 2**22 + 1  # above the largest pid of Linux


def content(**owner: Any) -> dict[str, Any]:
    here = Owner.here()
    return {"owner": {**vars(here), **owner}, "title": "a cell", "since": time.time()}


def write(results: Path, said: Any, age: float = 0.0) -> Path:
    """Write a claim as somebody else would; its heartbeat is `age` seconds old."""
    path = results / "claims" / f"{KEY}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    path.write_bytes(text)
    beat = time.time() - age
    os.utime(path, (beat, beat))
    return path


def is_held(results: Path) -> bool:
    """Whether somebody else holds the claim; what was taken is given back."""
    taken = Claims(results).take(KEY, "mine")
    if taken is not None:
        taken.release()
    return taken is None


# Cloned machines have the same name, often the same machine id, and one number of the first name space.
@pytest.mark.parametrize("field", ["boot", "machine", "space", "host"])
def test_a_clone_of_this_machine_is_another_machine(tmp_path: Path, field: str) -> None:
    write(tmp_path, content(pid=DEAD, **{field: "another"}))
    assert is_held(tmp_path)
    write(tmp_path, content(pid=DEAD, **{field: "another"}), age=SILENCE + 5)
    assert not is_held(tmp_path)


def test_a_dead_process_of_this_very_kernel_is_noticed_at_once(tmp_path: Path) -> None:
    write(tmp_path, content(pid=DEAD))
    assert not is_held(tmp_path)
    write(tmp_path, content(started=Owner.here().started + 50))  # a later process got the pid
    assert not is_held(tmp_path)
    write(tmp_path, content(), age=10 * SILENCE)  # this very process: it lives, silent or not
    assert is_held(tmp_path)


def test_where_nothing_is_known_of_the_kernel_the_heartbeat_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "_boot", lambda: "")
    write(tmp_path, content(pid=DEAD))
    assert is_held(tmp_path)


UNKNOWN: dict[str, Any] = {
    "no owner": {"title": "x", "since": 1.0},
    "an owner of an older version": {
        "owner": {"host": socket.gethostname(), "space": owners._space(), "pid": 1, "started": 1.0},
        "title": "x",
        "since": 1.0,
    },
    "a field of a newer version": content(rack=7),
    "a pid in words": content(pid="seven"),
    "a pid that is true": content(pid=True),
    "a negative pid": content(pid=-1),
    "a pid of nobody": content(pid=0),
    "a huge pid": content(pid=2**70),
    "a broken pid": content(pid=1.5),
    "no start": content(started=None),
    "a start in words": content(started="noon"),
    "an endless start": content(started=float("inf")),
    "a title of another kind": {**content(), "title": ["x"]},
    "times in words": {**content(), "since": "yesterday"},
    "times that are none": {**content(), "since": float("nan")},
    "times beyond floats": b'{"owner":'
    + json.dumps(vars(Owner.here())).encode()
    + b',"title":"x","since":1e999}',
    "nothing": b"",
    "zeros": bytes(300),
    "half": json.dumps(content()).encode()[:40],
    "no text": b"\xff\xfe\xfa",
    "a list": [],
    "a number": 5,
    "deep": b"[" * 30_000 + b"]" * 30_000,
    "a number of 5,000 digits": b'{"since":' + b"9" * 5000 + b"}",
    "a megabyte": json.dumps({**content(), "title": "x" * 2**20}).encode(),
}


@pytest.mark.parametrize("said", UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_understood_is_held_while_its_heartbeat_moves(tmp_path: Path, said: Any) -> None:
    write(tmp_path, said)
    assert is_held(tmp_path)
    assert "cannot be read" in Claims(tmp_path).find(KEY).who
    write(tmp_path, said, age=SILENCE + 5)
    assert not is_held(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_claim_that_an_umask_hides_is_held(tmp_path: Path) -> None:
    write(tmp_path, content(boot="another")).chmod(0)
    assert is_held(tmp_path)


def test_a_hidden_claim_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise where root runs the tests."""
    write(tmp_path, content(pid=DEAD))

    def hidden(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(claims_module, "read_as", hidden)
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_neither_hangs_nor_crashes(tmp_path: Path, make: Any, tools: Any) -> None:
    path = tmp_path / "claims" / f"{KEY}.json"
    path.parent.mkdir()
    make(path)
    beside = path.with_suffix(".progress")
    os.mkfifo(beside)
    console, _ = tools.console()
    show_status(tmp_path, "", console)
    if not path.is_symlink():
        assert is_held(tmp_path)
        silent = time.time() - SILENCE - 5
        os.utime(path, (silent, silent))
    assert not is_held(tmp_path) or path.is_symlink()


def test_a_heartbeat_in_the_future_holds_until_it_has_been_still_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, content(boot="another"), age=-1e6)
    assert is_held(tmp_path)
    noted = note_of(path)
    silent = time.time() - SILENCE - 5
    os.utime(noted, (silent, silent))  # it was first seen long ago, and has not changed since
    write(
        tmp_path, content(boot="another"), age=-1e6 + 5
    )  # it beats: a clock that is wrong, not a dead owner
    assert is_held(tmp_path)
    os.utime(noted, (silent, silent))
    assert not is_held(tmp_path)
    assert sorted(each.name for each in path.parent.iterdir()) == [".turn.lock"]


def test_a_heartbeat_in_the_future_ends_where_nothing_can_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, content(boot="another"), age=-1e6)
    note_of(path).mkdir()
    monkeypatch.setattr(claims_module, "SILENCE", 0.2)
    assert not Claims(tmp_path).find(KEY).stale
    time.sleep(0.3)
    assert Claims(tmp_path).find(KEY).stale


def test_a_process_that_is_stopped_holds_no_longer_than_its_heartbeat(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        started = owners._look(process.pid)[0]
        owner = content(pid=process.pid, started=started)
        write(tmp_path, owner, age=SILENCE + 5)
        assert is_held(tmp_path)  # busy, not dead
        os.kill(process.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 30
        while owners._look(process.pid)[1] not in owners.STOPPED:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        write(tmp_path, owner)
        assert is_held(tmp_path)
        write(tmp_path, owner, age=SILENCE + 5)
        assert not is_held(tmp_path)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("target", ["/proc/uptime", "mine", "itself"])
def test_a_link_is_no_claim_and_beats_only_as_it_changes(tmp_path: Path, target: str) -> None:
    """What it leads to may change for ever, or belong to a process that lives."""
    path = write(tmp_path, content())
    path.rename(path.with_name("mine"))
    path.symlink_to({"mine": path.with_name("mine"), "itself": path}.get(target, Path(target)))
    assert is_held(tmp_path)
    silent = time.time() - SILENCE - 5
    os.utime(path, (silent, silent), follow_symlinks=False)
    assert not is_held(tmp_path)


def test_a_claim_that_nobody_can_look_at_does_not_hold_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network disk that has lost a file."""
    write(tmp_path, content())
    monkeypatch.setattr(claims_module, "SILENCE", 0.2)

    def lost(*_: Any) -> Any:
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "lstat", lost)
        assert not Claims(tmp_path).find(KEY).stale
        time.sleep(0.3)
        assert Claims(tmp_path).find(KEY).stale


def test_a_claim_that_could_not_be_removed_ends_while_its_owner_lives_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Claims(tmp_path).take(KEY, "mine")

    def failing(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(claims_module, "_remove", failing)
        claim.release()
    assert is_held(tmp_path)
    silent = time.time() - SILENCE - 5
    os.utime(claim.path, (silent, silent))
    assert not is_held(tmp_path)


def test_setting_the_clock_kills_nobody(tmp_path: Path) -> None:
    """The start of a process is counted from the boot: a clock that is set does not move it."""
    assert 0 < Owner.here().started < time.clock_gettime(time.CLOCK_BOOTTIME) + 1


def test_others_may_take_turns(tmp_path: Path) -> None:
    """In a folder of a group, whoever came first must not lock the others out."""
    before = os.umask(0o002)
    try:
        Claims(tmp_path).take(KEY, "a cell").release()
    finally:
        os.umask(before)
    assert (tmp_path / "claims" / ".turn.lock").stat().st_mode & 0o777 == 0o664


def test_a_claim_in_the_place_of_another_is_not_removed_by_the_first_owner(tmp_path: Path) -> None:
    mine = Claims(tmp_path).take(KEY, "mine")
    other = tmp_path / "other"
    other.write_text(json.dumps(content(boot="another")))
    os.replace(other, mine.path)
    mine.release()
    assert is_held(tmp_path)
