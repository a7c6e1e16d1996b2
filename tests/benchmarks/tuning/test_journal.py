"""A study survives what happens to its file: what is whole is kept, what is not is named, nothing raises."""

import errno
import json
import logging
import os
import random
import time

import pytest

from benchmarks.errors import TuningError
from benchmarks.tuning import journal_file
from benchmarks.tuning.journal_file import JournalError, JournalFile
from leaderboard import StoreError

ODD_LINES = [
    b"\0" * 512,
    b"{",
    b"[]",
    b"5",
    b"[" * 100_000,
    b'{"op_code":' + b"9" * 5000 + b"}",
    b'{"op_code":99,"worker_id":"w"}',
    b'{"op_code":4}',
    b"\xff\xfe\x00",
    b"",
]


@pytest.fixture(scope="module")
def finished(lab, tmp_path_factory):
    """Bytes of a finished study's journal."""
    folder = tmp_path_factory.mktemp("whole")
    lab.study(folder, sampler="random", trials=6, startup_trials=6)
    return (folder / "study.journal").read_bytes()


def again(lab, folder, content):
    """Go on with a journal of this content; how many trials had to be measured, and what was found."""
    folder.mkdir(exist_ok=True)
    (folder / "study.journal").write_bytes(content)
    subject = lab.Parabola()
    found = lab.study(folder, subject, sampler="random", trials=6, startup_trials=6)
    return len(subject.asked), [(trial.params, trial.value) for trial in found.trials]


@pytest.mark.parametrize("tail", [b'{"op_code":5,"wor', b"\0" * 300, b'{"op_code"\0\0\0\0', b" ", b"\xff"])
def test_a_cut_line_costs_nothing_but_itself(lab, finished, tmp_path, tail):
    measured, trials = again(lab, tmp_path, finished + tail)
    assert measured == 0
    assert len(trials) == 6
    assert not list(tmp_path.glob("*.damaged-*"))


@pytest.mark.parametrize("at", [0.0, 0.03, 0.5, 0.97])
def test_a_journal_cut_anywhere_goes_on_to_the_same_end(lab, finished, tmp_path, at):
    whole = again(lab, tmp_path / "whole", finished)[1]
    measured, trials = again(lab, tmp_path / "cut", finished[: int(at * len(finished))])
    assert trials == whole
    assert 0 < measured <= 6
    for line in (tmp_path / "cut" / "study.journal").read_bytes().splitlines():
        json.loads(line)  # the cut line is gone, not glued to the next one


@pytest.mark.parametrize("odd", ODD_LINES)
def test_damage_further_up_is_set_aside_and_named(lab, finished, tmp_path, odd, caplog):
    lines = finished.splitlines(keepends=True)
    middle = len(lines) // 2
    damaged = b"".join([*lines[:middle], odd + b"\n", *lines[middle:]])
    with caplog.at_level(logging.WARNING, "spikemark.tuning"):
        measured, trials = again(lab, tmp_path, damaged)
    assert len(trials) == 6
    assert measured < 6  # what was finished before the damage is not run again
    assert (tmp_path / "study.journal.damaged-1").read_bytes() == damaged
    assert f"line {middle + 1} " in caplog.text
    assert "study.journal.damaged-1" in caplog.text


def test_lines_that_are_lost_doubled_or_swapped_are_noticed(lab, finished, tmp_path):
    lines = finished.splitlines(keepends=True)
    ways = {
        "lost": [*lines[:8], *lines[9:]],
        "doubled": [*lines[:8], lines[7], *lines[8:]],
        "swapped": [*lines[:8], lines[9], lines[8], *lines[10:]],
        "flipped": [*lines[:8], lines[8].replace(b"0", b"1", 1), *lines[9:]],
    }
    for way, content in ways.items():
        assert len(again(lab, tmp_path / way, b"".join(content))[1]) == 6
        assert (tmp_path / way / "study.journal.damaged-1").exists(), way


def test_any_mutation_ends_in_a_whole_study(lab, finished, tmp_path):
    chance = random.Random(7)
    for number in range(25):
        content = bytearray(finished)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(content))
            what = chance.choice(["flip", "cut", "insert", "zero"])
            if what == "flip":
                content[at] ^= 1 << chance.randrange(8)
            elif what == "cut":
                del content[at : at + chance.randint(1, 200)]
            elif what == "insert":
                content[at:at] = chance.randbytes(chance.randint(1, 40))
            else:
                content[at : at + 64] = bytes(64)
        trials = again(lab, tmp_path / str(number), bytes(content))[1]
        assert len(trials) == 6


def test_journals_without_checksums_go_on(lab, finished, tmp_path):
    old = b"".join(line.rpartition(b',"check"')[0] + b"}\n" for line in finished.splitlines())
    lines = old.splitlines(keepends=True)
    measured, trials = again(lab, tmp_path / "old", b"".join(lines[: len(lines) // 2]))
    assert 0 < measured < 6
    assert trials == again(lab, tmp_path / "whole", finished)[1]
    assert not list((tmp_path / "old").glob("*.damaged-*"))


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("number", [1, 4, 9])
def test_a_full_disk_is_one_message_and_loses_no_trial(lab, tmp_path, monkeypatch, call, number):
    real, calls = getattr(os, call), []

    def failing(descriptor, *rest):
        if "study.journal" not in os.readlink(f"/proc/self/fd/{descriptor}"):
            return real(descriptor, *rest)
        calls.append(1)
        if len(calls) == number and call == "write":
            real(descriptor, rest[0][:7])  # a full disk takes what fits
        if len(calls) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(StoreError, match=r"study.journal: No space left on device. Free some space"):
            lab.study(tmp_path, sampler="random", trials=6, startup_trials=6)
    content = (tmp_path / "study.journal").read_bytes()
    assert content == b"" or content.endswith(b"}\n")
    assert len(lab.study(tmp_path, sampler="random", trials=6, startup_trials=6).trials) == 6
    assert not list(tmp_path.glob("*.damaged-*"))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_at_once(lab, tmp_path, make):
    make(tmp_path / "study.journal")
    with pytest.raises(TuningError, match=r"study.journal"):
        lab.study(tmp_path)


def test_a_journal_replaced_under_a_running_study_stops_it(tmp_path):
    path, lock = tmp_path / "study.journal", tmp_path / "lock"
    file = JournalFile(path, lock)
    file.append_logs([{"op_code": 0, "worker_id": "a"}])
    (tmp_path / "other").write_bytes(path.read_bytes())
    os.replace(tmp_path / "other", path)
    for use in (lambda: file.append_logs([{"op_code": 1}]), lambda: list(file.read_logs(0))):
        with pytest.raises(JournalError, match="was replaced while the study ran"):
            use()


def test_damage_under_a_running_study_is_one_error(tmp_path):
    path, lock = tmp_path / "study.journal", tmp_path / "lock"
    file = JournalFile(path, lock)
    file.append_logs([{"op_code": 0, "worker_id": "a"}])
    with path.open("ab") as stream:
        stream.write(b"{}\n")
    with pytest.raises(JournalError, match=r"line 2 has no checksum.*goes on from the lines before"):
        file.append_logs([{"op_code": 1}])


def test_nobody_waits_for_ever_for_a_stopped_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_file, "PATIENCE", 0.2)
    one, two = (JournalFile(tmp_path / "study.journal", tmp_path / "lock") for _ in range(2))
    with one._turn():
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"has been locked for 0.2 s"):
            two.append_logs([{"op_code": 1}])
        assert time.monotonic() - began < 30
    two.append_logs([{"op_code": 1}])
    assert list(one.read_logs(0)) == [{"op_code": 1, "check": next(one.read_logs(0))["check"]}]
