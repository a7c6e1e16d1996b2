"""Runs of a matrix by real processes, in which things go wrong."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.anns import AnnStore
from benchmarks.cells import expand
from benchmarks.coordination.claims import Claims
from benchmarks.execution.plan import make_plan
from benchmarks.execution.where import Where
from benchmarks.runner import RETRIES
from leaderboard import ResultStore
from leaderboard.store.failures import FailureStore

TWO = Where(workers=2, threads=1)


def records(results: Path) -> set[str]:
    return {path.stem for path in (results / "records").glob("[!.]*.json")}


def test_workers_give_the_records_of_one_process(undisturbed: Any, tools: Any, tmp_path: Path) -> None:
    outcome = tools.run_matrix(tools.matrix_of(), tmp_path, TWO)
    assert len(outcome.finished) == 6
    assert tools.measured(tmp_path) == undisturbed
    again = tools.run_matrix(tools.matrix_of(), tmp_path, TWO)
    assert (len(again.finished), len(again.skipped)) == (0, 6)


def test_killed_three_times_and_finished(undisturbed: Any, tools: Any, start: Any, tmp_path: Path) -> None:
    """In the first epoch, in a cell, and in another; once by one process, then by workers."""
    anns, matrix = tmp_path / "anns", tools.matrix_of()
    moments = [
        (None, lambda: list(anns.glob("*/last.ckpt"))),
        (TWO, lambda: len(records(tmp_path)) >= 1),
        (TWO, lambda: len(records(tmp_path)) >= 3),
    ]
    times: dict[str, float] = {}
    for where, reached in moments:
        runner = start("run_matrix", matrix, tmp_path, where)
        tools.wait_until(reached)
        os.kill(runner.pid, signal.SIGKILL)
        runner.join()
        for id_ in records(tmp_path):
            written = (tmp_path / "records" / f"{id_}.json").stat().st_mtime
            assert times.setdefault(id_, written) == written  # nothing runs twice
    assert 0 < len(records(tmp_path)) < 6
    outcome = tools.run_matrix(matrix, tmp_path)
    assert outcome.failures == []
    assert len(outcome.finished) + len(outcome.skipped) == 6
    assert tools.measured(tmp_path) == undisturbed
    assert Claims(tmp_path).load() == {}


def test_a_claim_to_a_finished_cell_goes_with_the_next_run(tools: Any, start: Any, tmp_path: Path) -> None:
    """Its owner was killed after it had written the record."""
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"], time_steps=[1])
    assert tools.run_matrix(matrix, tmp_path).failures == []
    (cell,) = expand(matrix, None)
    for key in (f"cell-{cell.id}", f"ann-{cell.ann.id}"):
        holder = start("hold", tmp_path, key)
        tools.wait_until(lambda key=key: Claims(tmp_path).find(key))
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
    assert len(Claims(tmp_path).load()) == 2
    assert len(tools.run_matrix(matrix, tmp_path).skipped) == 1
    assert Claims(tmp_path).load() == {}


def test_a_training_goes_on_with_the_same_weights(tools: Any, start: Any, tmp_path: Path) -> None:
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"], training={"epochs": 6, "batch_size": 64})
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    runner = start("run_matrix", matrix, killed)
    tools.wait_until(lambda: list(killed.glob("anns/*/last.ckpt")))
    os.kill(runner.pid, signal.SIGKILL)
    runner.join()
    assert not list(killed.glob("anns/*/network.pt"))
    for results in (killed, whole):
        assert tools.run_matrix(matrix, results).failures == []
    assert tools.measured(killed) == tools.measured(whole)


def test_a_cell_whose_worker_is_killed_again_and_again_fails_alone(
    tools: Any, start: Any, tmp_path: Path
) -> None:
    matrix = tools.matrix_of(recipes=["opi", "burst", "ptq"], seeds=[0], time_steps=[1, 4])
    slow = tools.matrix_of(recipes=["opi"], seeds=[0], time_steps=[1, 30000])
    victim = expand(slow, None)[0]
    both = matrix.model_copy(update={"also": [slow]})
    assert len(expand(both, None)) == 4
    runner = start("run_matrix", both, tmp_path, TWO)
    claims = Claims(tmp_path)
    killed: set[int] = set()

    def at_work() -> int | None:
        held = claims.find(f"cell-{victim.id}")
        return (
            held.owner.pid if held is not None and not held.stale and held.owner.pid not in killed else None
        )

    for _ in range(1 + RETRIES):
        tools.wait_until(at_work, 240)
        pid = at_work()
        killed.add(pid)
        os.kill(pid, signal.SIGKILL)
    runner.join(240)  # a busy machine takes its time
    assert runner.exitcode == 0
    assert records(tmp_path) == {cell.id for cell in expand(matrix, None)}
    failure = FailureStore(tmp_path).get(victim.id)
    assert (failure.error, failure.title) == ("WorkerDied", victim.title)
    assert "was killed" in failure.message
    plan = make_plan(expand(both, None), tmp_path, retry_failed=False)
    assert ([cell.id for cell, _ in plan.failed], plan.missing) == ([victim.id], [])
    plan = make_plan(expand(both, None), tmp_path, retry_failed=True)
    assert [cell.id for cell in plan.missing] == [victim.id]


def test_a_cell_whose_worker_was_killed_once_is_begun_anew(
    tools: Any, undisturbed: Any, start: Any, tmp_path: Path
) -> None:
    matrix, claims = tools.matrix_of(), Claims(tmp_path)
    runner = start("run_matrix", matrix, tmp_path, TWO)
    cells = [f"cell-{cell.id}" for cell in expand(matrix, None)]
    tools.wait_until(lambda: any(claims.find(key) for key in cells), 240)
    held = next(found for key in cells if (found := claims.find(key)) is not None)
    os.kill(held.owner.pid, signal.SIGKILL)
    runner.join(240)
    assert tools.measured(tmp_path) == undisturbed
    assert FailureStore(tmp_path).load() == {}


def test_a_cell_that_raises_is_kept_with_its_traceback(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.execution import jobs

    evaluate = jobs.evaluate

    def raising(cell: Any, *rest: Any) -> Any:
        if cell.recipe.name == "burst":
            raise MemoryError("no room")
        return evaluate(cell, *rest)

    monkeypatch.setattr(jobs, "evaluate", raising)
    matrix = tools.matrix_of(seeds=[0])
    outcome = tools.run_matrix(matrix, tmp_path)
    assert len(outcome.finished) == 2
    assert "MemoryError: no room" in outcome.failures[0][1]
    (failure,) = FailureStore(tmp_path).load().values()
    assert "in raising" in failure.traceback
    monkeypatch.setattr(jobs, "evaluate", evaluate)
    again = tools.run_matrix(matrix, tmp_path)
    assert [len(each) for each in (again.finished, again.skipped, again.failed_before)] == [0, 2, 1]
    retried = tools.run_matrix(matrix, tmp_path, retry_failed=True)
    assert len(retried.finished) == 1
    assert FailureStore(tmp_path).load() == {}


def test_two_runners_share_a_folder(undisturbed: Any, tools: Any, start: Any, tmp_path: Path) -> None:
    runners = [start("run_matrix", tools.matrix_of(), tmp_path) for _ in range(2)]
    for runner in runners:
        runner.join(90)
        assert runner.exitcode == 0
    assert tools.measured(tmp_path) == undisturbed
    assert FailureStore(tmp_path).load() == {}
    assert len(list(tmp_path.glob("anns/*/network.pt"))) == 2


def test_a_truncated_record_is_named_and_replaced(undisturbed: Any, tools: Any, tmp_path: Path) -> None:
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"])
    tools.run_matrix(matrix, tmp_path)
    (path,) = (tmp_path / "records").glob("*.json")
    path.write_bytes(path.read_bytes()[:500])
    console, text = tools.console()
    outcome = tools.run(matrix, None, tmp_path, console)
    assert len(outcome.finished) == 1
    assert f"set aside: {path}: is not JSON" in text.getvalue()
    assert tools.measured(tmp_path)[path.stem] == undisturbed[path.stem]


def test_a_full_disk_stops_the_run_once_and_clearly(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = tools.matrix_of(seeds=[0])
    write = ResultStore.write
    written = []

    def filling(store: Any, record: Any) -> Path:
        if written:
            monkeypatch.setattr(os, "fsync", full)
        written.append(record)
        return write(store, record)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ResultStore, "write", filling)
    outcome = tools.run_matrix(matrix, tmp_path)
    assert len(outcome.finished) == 1
    assert outcome.failures == []
    assert "No space left on device. Free some space" in outcome.stopped
    monkeypatch.undo()
    assert len(records(tmp_path)) == 1
    assert not list((tmp_path / "records").glob(".*"))
    assert len(tools.run_matrix(matrix, tmp_path).finished) == 2


def test_a_disk_that_fills_in_a_training_stops_the_run_and_keeps_the_last_epoch(
    undisturbed: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def filling(descriptor: int) -> None:
        if list(tmp_path.glob("anns/*/last.ckpt")):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", filling)
    matrix = tools.matrix_of(seeds=[0])
    outcome = tools.run_matrix(matrix, tmp_path)
    assert "last.ckpt: No space left on device. Free some space there" in outcome.stopped
    assert outcome.failures == []
    monkeypatch.undo()
    assert FailureStore(tmp_path).load() == {}  # the disk is no failure of a cell
    (last,) = tmp_path.glob("anns/*/*")
    assert torch.load(last, weights_only=True)["epoch"] == 0
    assert len(tools.run_matrix(matrix, tmp_path).finished) == 3
    assert tools.measured(tmp_path).items() <= undisturbed.items()
    assert [path.name for path in tmp_path.glob("anns/*/*")] == ["network.pt"]


def test_a_disk_that_fills_beside_the_results_stops_the_run_too(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.execution import jobs

    def filling(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", "/cache/kernels.so")

    monkeypatch.setattr(jobs, "evaluate", filling)
    outcome = tools.run_matrix(tools.matrix_of(seeds=[0]), tmp_path)
    assert "cannot write /cache/kernels.so: No space left on device. Free some" in outcome.stopped
    assert FailureStore(tmp_path).load() == {}


def test_a_damaged_checkpoint_of_a_training_is_set_aside(tools: Any, tmp_path: Path) -> None:
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"])
    spec = expand(matrix, None)[0].ann
    folder = AnnStore(tmp_path).path_of(spec).parent
    folder.mkdir(parents=True)
    (folder / "last.ckpt").write_bytes(b"PK half a checkpoint")
    assert tools.run_matrix(matrix, tmp_path).failures == []
    assert (folder / "last.damaged").exists()


def test_two_processes_train_one_network(tools: Any, tmp_path: Path) -> None:
    trainer = {"accelerator": "cpu", "devices": 2}
    outcome = tools.run_matrix(tools.matrix_of(seeds=[0], recipes=["opi"], trainer=trainer), tmp_path)
    assert outcome.failures == []
    (record,) = ResultStore(tmp_path).load().records
    assert record.outcomes.count == 40  # the cell itself sees every image once
    assert record.ann.metrics["top1"] > 0.3
