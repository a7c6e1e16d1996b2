"""One at a time, whoever dies, on this machine and on others."""

from __future__ import annotations

import json
import os
import pickle
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.coordination import claims as claims_module
from benchmarks.coordination.claims import SILENCE, Claims
from benchmarks.coordination.owners import Owner
from benchmarks.coordination.progress_file import EVERY, Progress, ProgressFile
from leaderboard import StoreError

KEY = "cell-0123456789abcdef"


def test_one_at_a_time(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    with claims.take(KEY, "a cell") as claim:
        assert claim.held
        assert claims.take(KEY, "a cell") is None
        assert claims.find(KEY).owner == Owner.here()
        assert not claims.find(KEY).stale
        assert list(claims.load()) == [KEY]
    assert claims.load() == {}
    claims.take(KEY, "a cell").release()


def test_of_many_exactly_one_gets_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: Claims(tmp_path).take(KEY, "a cell"), range(32)))
    assert sum(claim is not None for claim in taken) == 1


def test_a_killed_owner_is_noticed_at_once(tmp_path: Path, start: Any, tools: Any) -> None:
    claims, process = Claims(tmp_path), start("hold", tmp_path, KEY)
    tools.wait_until(lambda: claims.find(KEY))
    assert claims.take(KEY, "mine now") is None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert claims.find(KEY).stale
    with claims.take(KEY, "mine now"):
        assert claims.find(KEY).owner.pid == os.getpid()


def test_claims_of_the_dead_are_swept_and_no_others(tmp_path: Path, start: Any, tools: Any) -> None:
    claims, other, process = Claims(tmp_path), KEY.replace("0", "f"), start("hold", tmp_path, KEY)
    tools.wait_until(lambda: claims.find(KEY))
    with claims.take(other, "alive"):
        claims.sweep([KEY, other, "cell-of-nobody"])
        assert set(claims.load()) == {KEY, other}
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        claims.sweep([other])
        assert set(claims.load()) == {KEY, other}
        claims.sweep([KEY, other])
        assert list(claims.load()) == [other]


def test_an_owner_elsewhere_is_dead_once_it_is_silent(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    claim = claims.take(KEY, "a cell")
    content = json.loads(claim.path.read_text())
    content["owner"]["host"] = "another machine"
    claim.path.write_text(json.dumps(content))  # in place, as its owner holds the same file
    assert claims.take(KEY, "mine now") is None
    silent = time.time() - SILENCE - 5
    os.utime(claim.path, (silent, silent))
    claim.beat()
    assert claims.take(KEY, "mine now") is None
    os.utime(claim.path, (silent, silent))
    successor = claims.take(KEY, "mine now")
    assert successor.held
    assert not claim.held
    claim.beat()  # the frozen owner wakes up, and touches nothing
    claim.release()
    assert successor.held
    assert claims.find(KEY).title == "mine now"
    successor.release()


def test_the_owner_beats_by_itself(tmp_path: Path, tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "HEARTBEAT", 0.05)
    monkeypatch.setattr(claims_module, "_HEART", claims_module._Heart())
    with Claims(tmp_path).take(KEY, "a cell") as claim:
        os.utime(claim.path, (1, 1))
        tools.wait_until(lambda: claim.path.stat().st_mtime > 1, 10)
        claim.progress.begin("training", 10, "epochs")
        tools.wait_until(
            lambda: Claims(tmp_path).find(KEY).progress == Progress("training", 0, 10, "epochs"), 10
        )
    assert sorted(path.name for path in (tmp_path / "claims").iterdir()) == [".turn.lock"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/claims.*: Not a directory. Move away what stands"):
        Claims(tmp_path / "file").take(KEY, "a cell")


def test_progress_is_written_now_and_then_and_by_copies_too(tmp_path: Path) -> None:
    progress = ProgressFile(tmp_path / "work.progress")
    progress.begin("testing", 10, "batches", last=64)
    assert progress.read() is None  # too quick to be worth a file
    copy = pickle.loads(pickle.dumps(progress))
    time.sleep(EVERY)
    copy.step(3, 10)
    copy.at(16)
    assert str(progress.read()) == "testing, 3 of 10 batches"
    copy.flush()
    assert str(progress.read()) == "testing, 3 of 10 batches, t = 16 of 64"
    progress.remove()
    assert progress.read() is None
