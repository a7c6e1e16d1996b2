"""Processes that others have started end with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import anns
from benchmarks.anns import EndsWithParent
from benchmarks.coordination import orphans
from benchmarks.storm import outlived

# As a worker does: interrupts are ignored, by it and by all that it starts.
PARENT = """
import multiprocessing, signal, sys, time
sys.path.insert(0, {folder!r})
import child
signal.signal(signal.SIGINT, signal.SIG_IGN)
for method in ("spawn", "fork"):
    started = multiprocessing.get_context(method).Process(target=child.work, args=({ends},))
    started.start()
    while not started.is_alive():
        time.sleep(0.01)
print("up", flush=True)
time.sleep(600)
"""
CHILD = """
import ctypes, os, signal, sys, time
from benchmarks.coordination.orphans import end_with

def work(ends):
    ctypes.CDLL(None).prctl(1, signal.SIGINT, 0, 0, 0)  # as PyTorch does
    if ends:
        end_with(os.getppid())
    open(f"{os.path.dirname(__file__)}/{os.getpid()}.up", "w").close()
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a matter of Linux")
@pytest.mark.parametrize("ends", [True, False])
def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path, ends: bool) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    code = PARENT.format(folder=str(tmp_path), ends=ends)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        while len(list(tmp_path.glob("*.up"))) < 2:
            assert parent.poll() is None
        mine = {int(path.stem) for path in tmp_path.glob("*.up")}
        started = [each for each in psutil.Process(parent.pid).children(recursive=True) if each.pid in mine]
        parent.kill()
    alive = outlived(started, 10 if ends else 0.5)
    for each in alive:
        each.kill()
    assert len(started) == 2
    assert len(alive) == (0 if ends else 2)  # or this test would pass for any child


def test_processes_of_a_trainer_ask_for_it_and_its_own_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(anns, "end_with", asked.append)
    callback = EndsWithParent()
    trainer: Any = None
    callback.setup(trainer, trainer, "fit")
    assert asked == []
    me = os.getpid()
    monkeypatch.setattr(os, "getppid", lambda: me)
    callback.setup(trainer, trainer, "fit")
    assert asked == [me]


def test_elsewhere_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    orphans.end_with(-1)
