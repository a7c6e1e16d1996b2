"""Whatever becomes of the bytes of a file, reading it ends soon, with what it said or without it."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.anns import AnnStore
from benchmarks.cells import expand
from benchmarks.cli import main
from benchmarks.commands.checking import check
from benchmarks.coordination.claims import SILENCE, Claims
from benchmarks.coordination.notes import Note, NotedCell, Notes, read_note
from benchmarks.coordination.progress_file import Progress, ProgressFile
from benchmarks.errors import MatrixError
from benchmarks.execution import jobs
from benchmarks.execution.status import show_status
from benchmarks.loadable import plain_content
from benchmarks.matrix import load
from benchmarks.tuning.journal_file import JournalFile, open_storage, verify

CELL = "0123456789abcdef"
FAST = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)


@st.composite
def bytes_like(draw: Any, content: bytes) -> bytes:
    """The content, cut, flipped, lengthened or with zeros in it."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(changed) - 1, 0)))
        way = draw(st.sampled_from(["cut", "flip", "insert", "remove", "zeros", "double"]))
        if way == "cut":
            del changed[at:]
        elif way == "flip" and changed:
            changed[at] ^= 1 << draw(st.integers(0, 7))
        elif way == "insert":
            changed[at:at] = draw(st.binary(min_size=1, max_size=20))
        elif way == "remove":
            del changed[at : at + draw(st.integers(1, 40))]
        elif way == "zeros":
            changed[at : at + 16] = bytes(16)
        else:
            changed[at:at] = changed[max(at - 30, 0) : at]
    return bytes(changed)


@st.composite
def json_like(draw: Any, content: dict[str, Any]) -> bytes:
    """The content with some of its values of another kind, without some of them, or with more."""
    changed = json.loads(json.dumps(content))
    places = [changed, *(each for each in changed.values() if isinstance(each, dict))]
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places))
        key = draw(st.sampled_from([*place, "more"]))
        if draw(st.booleans()):
            place[key] = draw(JSON)
        else:
            place.pop(key, None)
    return json.dumps(changed).encode()


def either(content: dict[str, Any]) -> Any:
    return bytes_like(json.dumps(content).encode()) | json_like(content)


HERE = {"host": "a", "machine": "b", "boot": "c", "space": "d", "pid": 7, "started": 1.0}
CLAIM = {"owner": HERE, "title": "a cell", "since": 1.0}
PROGRESS = {"stage": "testing", "done": 1, "total": 4, "unit": "batches", "t": 2, "last": 8}
NOTE = {"matrix": "m", "started": 1.0, "at_once": 2, "cells": [{"id": CELL, "ann": CELL, "title": "a cell"}]}


@FAST
@given(either(CLAIM), either(PROGRESS), either(NOTE))
def test_claims_progress_and_notes(tmp_path: Path, claim: bytes, progress: bytes, note: bytes) -> None:
    folder = tmp_path / "claims"
    (tmp_path / "runs").mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    path = folder / f"cell-{CELL}.json"
    path.write_bytes(claim)
    path.with_suffix(".progress").write_bytes(progress)
    (tmp_path / "runs" / "m.json").write_bytes(note)
    screen, _ = CONSOLE()
    show_status(tmp_path, "", screen)
    assert Claims(tmp_path).take(path.stem, "mine") is None  # its heartbeat is fresh
    silent = time.time() - SILENCE - 5
    os.utime(path, (silent, silent))
    taken = Claims(tmp_path).take(path.stem, "mine")
    assert taken is not None
    taken.release()
    found = read_note(tmp_path / "runs" / "m.json")
    assert found is None or isinstance(found, Note)
    check(tmp_path)


def CONSOLE() -> Any:
    from benchmarks.output import Screen

    text = io.StringIO()
    return Screen(file=text), text


@FAST
@given(either(PROGRESS))
def test_progress_can_be_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "work.progress"
    path.write_bytes(content)
    found = ProgressFile(path).read()
    assert found is None or isinstance(found, Progress)
    assert isinstance(str(found), str)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Or the laws above would hold for a reader that reads nothing."""
    path = Notes(tmp_path).write("m", [NotedCell(CELL, CELL, "a cell")], 2)
    assert read_note(path) == Notes(tmp_path).load()[0]
    (tmp_path / "x.progress").write_text(json.dumps(PROGRESS))
    assert ProgressFile(tmp_path / "x.progress").read() == Progress(**PROGRESS)


EVENTS = [{"op_code": 0, "worker_id": "w", "study_name": "s", "directions": [1]}] + [
    {"op_code": 4, "worker_id": "w", "study_id": 0, "datetime_start": "2025-01-01T00:00:00+00:00"}
] * 4


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("journal") / "s.journal"
    JournalFile(path, path.with_suffix(".lock")).append_logs(EVENTS)
    return path.read_bytes()


def sound_beginning(content: bytes, whole: bytes) -> int:
    """Lines that two journals have in common from the beginning on."""
    lines = zip(content.split(b"\n")[:-1], whole.split(b"\n")[:-1], strict=False)
    return next((number for number, (one, two) in enumerate(lines) if one != two), content.count(b"\n"))


@FAST
@given(st.data())
def test_journals(tmp_path: Path, journal: bytes, data: Any) -> None:
    content = data.draw(bytes_like(journal))
    folder = tmp_path / str(time.monotonic_ns())
    folder.mkdir()
    path = folder / "s.journal"
    path.write_bytes(content)
    kept = min(sound_beginning(content, journal), len(EVENTS))
    lines, _, _ = verify(path)
    assert lines >= kept
    storage = open_storage(path, folder / "lock")
    if kept:
        trials = storage.get_all_trials(storage.get_study_id_from_name("s"))
        assert len(trials) >= kept - 1
        assert len(trials) <= len(EVENTS) - 1
    assert path.read_bytes().count(b"\n") >= kept
    if path.read_bytes() != content:
        assert (folder / "s.journal.damaged-1").read_bytes() == content


@pytest.fixture(scope="module")
def checkpoint() -> bytes:
    stream = io.BytesIO()
    torch.save({"state_dict": {"a.weight": torch.arange(64.0)}, "epoch": 3}, stream)
    return stream.getvalue()


@FAST
@given(st.data())
def test_checkpoints_are_whole_or_refused(checkpoint: bytes, data: Any) -> None:
    content = data.draw(bytes_like(checkpoint))
    found = plain_content(io.BytesIO(content))
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        for value in found["state_dict"].values():
            assert torch.equal(value, torch.arange(64.0))  # never other weights


def test_a_damaged_network_of_the_store_is_made_again(tools: Any, tmp_path: Path, caplog: Any) -> None:
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"])
    tools.run_matrix(matrix, tmp_path)
    whole = tools.measured(tmp_path)
    path = AnnStore(tmp_path).path_of(expand(matrix, None)[0].ann)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # a weight: PyTorch loads it without a word
    path.write_bytes(content)
    assert [found.path for found in check(tmp_path).findings if found.damaged] == [path]
    next((tmp_path / "records").glob("*.json")).unlink()
    jobs._LAST.clear()  # as a new process
    tools.run_matrix(matrix, tmp_path)
    assert tools.measured(tmp_path) == whole
    assert path.with_suffix(".damaged").read_bytes() == content
    assert "was damaged; it is made again" in caplog.text


MATRIX = """\
name: m
datasets: [{name: digits, size: 8}]
networks: [small_cnn]
recipes: [opi, {preset: burst, neuron: {gamma: 4}}]
time_steps: [1, 4]
training: {epochs: 1}
"""


@FAST
@given(bytes_like(MATRIX.encode()))
def test_matrices(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(content)
    try:
        said = str(load(path).time_steps)
    except MatrixError as error:
        said = str(error)
    assert said.startswith("[") or str(path) in said


@pytest.mark.parametrize(
    "harm", [lambda p: p.unlink(), lambda p: p.write_bytes(b"{"), lambda p: (p.unlink(), os.mkfifo(p))]
)
def test_check_results_names_what_is_damaged_and_changes_nothing(
    tools: Any, tmp_path: Path, harm: Callable[[Path], Any]
) -> None:
    results = tmp_path / "results"
    tools.run_matrix(tools.matrix_of(seeds=[0], recipes=["opi", "burst"]), results)

    def call() -> Any:
        return CliRunner().invoke(main, ["check-results", str(results)])

    done = call()
    assert (done.exit_code, "3 sound" in done.output or "4 sound" in done.output) == (0, True), done.output
    record = sorted((results / "records").glob("*.json"))[0]
    harm(record)
    before = sorted(results.rglob("*"))
    done = call()
    assert sorted(results.rglob("*")) == before
    if record.exists():
        assert done.exit_code == 1
        assert f"damaged: {record}: " in done.output
        assert "its cell is run again" in done.output
    else:
        assert done.exit_code == 0
