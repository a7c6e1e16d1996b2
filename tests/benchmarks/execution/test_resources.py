"""What killed processes leave is removed, and what ran out of memory says what needs less."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from benchmarks.anns import AnnStore
from benchmarks.cells import expand
from benchmarks.cli import main
from benchmarks.coordination.claims import Claims
from benchmarks.coordination.leftovers import ABANDONED, leftovers, sweep_results
from benchmarks.offline import new_id, offline_runs, open_runs, runs_of
from benchmarks.storm import outlived
from leaderboard.store.failures import FailureStore

CELL = "0123456789abcdef"


def old(path: Path, age: float = ABANDONED + 60) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_temporary_files_are_swept_from_every_folder(tmp_path: Path) -> None:
    left = [
        old(tmp_path / place)
        for place in (
            ".leaderboard.html.0.tmp",
            "records/.a.json.0.tmp",
            "claims/.cell-a.json.0.tmp",
            "claims/.cell-a.progress.7.tmp",
            "claims/.clock.7-7.tmp",
            "claims/cell-a.progress",
            "failures/.a.json.0.tmp",
            "failures/.probe.0.tmp",
            "runs/.tiny.json.0.tmp",
            "tuning/.a.json.0.tmp",
            "tuning/.study.journal.tmp",
            "diagnoses/.a.json.0.tmp",
            "pictures/a/.1.png.0.tmp",
            "anns/b/.last.ckpt.0.tmp",
            "anns/b/last.ckpt",
        )
    ]
    kept = [
        old(tmp_path / place)
        for place in (
            "records/a.json",
            "claims/cell-b.json",
            "claims/cell-b.progress",
            "anns/a/last.ckpt",
            "anns/b/network.pt",
            "wandb/offline-run-1/.x.tmp",
        )
    ]
    kept.append(old(tmp_path / "records" / ".young.tmp", 10))
    assert leftovers(tmp_path) == sorted(left)
    sweep_results(tmp_path)
    assert [path for path in left if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []


def test_a_run_sweeps(tools: Any, tmp_path: Path) -> None:
    left = old(tmp_path / "runs" / ".tiny.json.0.tmp")
    tools.run_matrix(tools.matrix_of(seeds=[0], recipes=["opi"]), tmp_path)
    assert not left.exists()


def half_run(results: Path, cell: str, uploaded: bool = False) -> Path:
    run = results / "wandb" / f"offline-run-20250101_000000-{new_id(cell)}"
    run.mkdir(parents=True)
    (run / "run-x.wandb").write_bytes(b"half")
    if uploaded:
        (run / "run-x.wandb.synced").write_text("")
    return run


def test_half_runs_of_killed_cells_are_removed_on_takeover(tools: Any, tmp_path: Path) -> None:
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"], tracking={"wandb": "offline"})
    (cell,) = expand(matrix, None)
    halves = [half_run(tmp_path, cell.id) for _ in range(2)]
    uploaded, other = half_run(tmp_path, cell.id, uploaded=True), half_run(tmp_path, CELL)
    assert offline_runs(tmp_path) == []
    outcome = tools.run_matrix(matrix, tmp_path)
    assert [path for path in halves if path.exists()] == []
    assert uploaded.exists()
    assert other.exists()
    (run,) = outcome.runs
    assert {path.name for path in runs_of(cell.id, tmp_path)} == {run.name, uploaded.name}
    assert (offline_runs(tmp_path), open_runs(tmp_path)) == ([tmp_path / "wandb" / run.name], [other])


def test_a_half_run_is_removed_where_nobody_tracks_any_more(tools: Any, tmp_path: Path) -> None:
    """Or it would stand for the whole cell once that has a record."""
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"], tracking={"wandb": "off"})
    (cell,) = expand(matrix, None)
    half_run(tmp_path, cell.id)
    assert len(tools.run_matrix(matrix, tmp_path).finished) == 1
    assert (offline_runs(tmp_path), runs_of(cell.id, tmp_path)) == ([], [])


def test_a_cell_that_was_killed_behind_its_record_has_a_whole_run(tools: Any, tmp_path: Path) -> None:
    """Its claim stays, for nobody begins it anew."""
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"], tracking={"wandb": "offline"})
    outcome = tools.run_matrix(matrix, tmp_path)
    (cell,) = outcome.finished
    with Claims(tmp_path).take(f"cell-{cell.id}", "a cell"):
        assert offline_runs(tmp_path) == [tmp_path / "wandb" / outcome.runs[0].name]


def test_runs_of_cells_without_a_record_are_not_uploaded(tmp_path: Path) -> None:
    run = half_run(tmp_path, CELL)
    records = tmp_path / "records" / f"{CELL}.json"
    records.parent.mkdir()
    records.write_text("{}")  # damaged: the cell begins anew
    assert (offline_runs(tmp_path), open_runs(tmp_path)) == ([], [run])
    done = CliRunner().invoke(main, ["sync", "--results", str(tmp_path)])
    assert "1 run(s) wait: their cells have no record" in done.output
    assert "nothing to upload" in done.output


@pytest.mark.parametrize("broken", ["log", "end"])
def test_a_run_that_is_not_whole_is_not_kept(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("W&B is down")

    place = {
        "end": "benchmarks.tracking.Tracker._end",
        "log": "pytorch_lightning.loggers.WandbLogger.log_metrics",
    }
    monkeypatch.setattr(place[broken], fail)
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"], tracking={"wandb": "offline"})
    (cell,) = tools.run_matrix(matrix, tmp_path).finished
    assert runs_of(cell.id, tmp_path) == []


def test_a_cell_that_another_runner_took_over_leaves_no_run(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.execution import jobs

    matrix = tools.matrix_of(seeds=[0], recipes=["opi"], tracking={"wandb": "offline"})
    (cell,) = expand(matrix, None)
    job = jobs.Job(cell, tmp_path)
    claim = Claims(tmp_path).take(job.key, job.title)
    claim.path.unlink()  # somebody thought this process dead
    assert jobs._cell(job, claim).status == "lost"
    claim.release()
    assert runs_of(cell.id, tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [MemoryError("no room"), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")],
)
def test_memory_exhausted_in_a_training_advises_about_the_training(
    tools: Any, write_matrix: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    import pytorch_lightning as pl

    def starving(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(pl.Trainer, "fit", starving)
    matrix = write_matrix({**tools.TINY, "seeds": [0]})
    done = CliRunner().invoke(main, ["run", str(matrix), "--results", str(tmp_path / "results")])
    assert done.exit_code == 1
    assert "training small_cnn ran out of memory with batches of 256 images" in done.output
    assert "Memory ran out in a training: lower training.batch_size" in done.output
    assert "evaluation.batch_size" not in done.output
    assert "Traceback" not in done.output
    (failure,) = FailureStore(tmp_path / "results").load().values()
    assert (failure.kind, failure.error, failure.outside_cause) == ("network", "MemoryExhausted", False)
    assert not AnnStore(tmp_path).path_of(expand(tools.matrix_of(), None)[0].ann).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="a matter of Linux")
def test_an_orphaned_fork_server_ends_at_once(tmp_path: Path) -> None:
    """Also while it imports, and while a worker of it still lives."""
    code = (
        "import time\n"
        "from benchmarks.execution.fork_server import warm_up\n"
        "warm_up(); print('up', flush=True); time.sleep(600)"
    )
    command = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    assert command.stdout.readline() == "up\n"
    started = psutil.Process(command.pid).children(recursive=True)
    assert any("forkserver" in " ".join(each.cmdline()) for each in started)
    os.kill(command.pid, signal.SIGKILL)
    command.wait()
    assert outlived(started, 5) == []  # its imports alone take longer on a busy machine
