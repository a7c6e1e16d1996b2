"""What people see of a matrix: before, while and after it runs; and what W&B gets of it."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from benchmarks import offline, tracking
from benchmarks.cells import expand
from benchmarks.cli import main
from benchmarks.coordination.claims import Claims
from benchmarks.execution.costs import Seconds, cell_forwards
from benchmarks.execution.status import lines, statuses
from benchmarks.execution.times import in_words
from benchmarks.spec import Matrix
from conversion import recipe_from


def call(*words: object) -> Any:
    return CliRunner().invoke(main, [*map(str, words)], env={"COLUMNS": "200"})


@pytest.fixture
def written(tools: Any, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**tools.TINY, "seeds": [0]}))
    return path


def test_a_dry_run_says_what_it_would_do_and_does_nothing(written: Path, tools: Any, tmp_path: Path) -> None:
    results = tmp_path / "results"
    before = call("run", written, "--results", results, "--dry-run")
    assert before.exit_code == 0, before.output
    assert not results.exists()
    # 40 test images, each by the ANN and in 4 steps, and 32 to calibrate; 1,437 training images in
    # whole batches of 256, twice, forwards and backwards
    assert "digits / small_cnn / opi / seed 0: to run, 232 ANN forwards" in before.output
    assert "training digits / small_cnn / seed 0: 7,680 ANN forwards" in before.output
    assert "cost:  8,376 ANN forwards" in before.output
    assert "3 cells: 0 done, 3 to run" in before.output
    tools.run_matrix(tools.matrix_of(seeds=[0], recipes=["opi"]), results)
    after = call("run", written, "--results", results, "--dry-run")
    assert "opi / seed 0: done" in after.output
    assert "3 cells: 1 done, 2 to run" in after.output
    assert "cost:  464 ANN forwards" in after.output
    assert "time:  about" in after.output
    written.write_text(yaml.safe_dump({**tools.TINY, "seeds": [0], "recipes": ["opi"]}))
    finished = call("run", written, "--results", results, "--dry-run")
    assert "1 cells: 1 done, 0 to run" in finished.output
    assert "cost:  0 ANN forwards" in finished.output
    assert "disk:  about 0 B" in finished.output


def test_the_disk_that_a_dry_run_names_is_the_disk_that_a_run_takes(written: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    (line,) = [
        line
        for line in call("run", written, "--results", results, "--dry-run").output.splitlines()
        if line.startswith("disk:")
    ]
    assert call("run", written, "--results", results).exit_code == 0
    taken = sum(path.stat().st_size for path in results.rglob("*") if path.is_file())
    assert taken / 1e6 == pytest.approx(float(line.split()[2]), rel=0.3)  # MB; checkpoints are gone again


def test_recipes_that_must_know_t_cost_each_of_them(tools: Any) -> None:
    cells = expand(tools.matrix_of(seeds=[0], recipes=["opi", "calib-light"], time_steps=[1, 2, 4]), None)
    assert [cell.recipe.needs_time_steps for cell in cells] == [False, True]
    ann, fits = 32, 2 * 32 * (1 + 2 + 4)  # each fit runs its 32 images twice, once to measure what they lack
    assert [cell_forwards(cell, 10) for cell in cells] == [
        10 * (1 + 4) + ann,
        10 * (1 + 1 + 2 + 4) + ann + fits,
    ]


FITS = [
    ("opi", [8], 0),
    ("thbal", [2, 8], 32 * 64),  # once, whatever is read out
    ("calib-adv", [4], 3 * 64 * 4 + 3 * 150 * 32),  # three passes, and weights: forward and backward
    ("ftbc", [2, 4], 2 * 128 * (2 + 4)),
    ("spikemark", [2, 4], 3 * 200 * (2 + 4)),
    ({"preset": "spikemark", "correction": {"images": 50}}, [2], 3 * 50 * 2),
    (
        {"preset": "spikemark", "correction": {"time_steps": 4}, "scale": {"time_steps": 4}},
        [2, 8],
        3 * 200 * 4,
    ),
]


@pytest.mark.parametrize(("recipe", "steps", "fits"), FITS, ids=str)
def test_a_recipe_says_what_its_fit_costs(recipe: Any, steps: list[int], fits: int) -> None:
    """Beside one pass over 200 calibration images."""
    assert recipe_from(recipe).fit_forwards(200, steps) == 200 + fits


def test_remaining_time_comes_from_the_cells_most_alike(tools: Any) -> None:
    opi, burst, maxnorm = expand(tools.matrix_of(seeds=[0]), None)
    seconds = Seconds()
    assert seconds.remaining([opi]) is None
    seconds.add(opi, 10.0)
    seconds.add(burst, 30.0)
    assert seconds.remaining([opi, burst]) == 40.0
    assert seconds.remaining([maxnorm]) == 20.0  # of the same network
    cells = [opi, burst, maxnorm]
    assert seconds.left([], {}, 2) is None
    assert str(seconds.left(cells, {}, 1)) == "about 60 s left"
    assert str(seconds.left(cells, {}, 2)) == "about 30 s left"
    assert str(seconds.left(cells, {}, 8)) == "about 30 s left"  # no shorter than its longest cell
    assert str(seconds.left(cells, {burst.id: 20.0}, 1)) == "about 40 s left"
    assert str(seconds.left([opi, burst], {burst.id: 50.0}, 1)) == "at least 10 s left"
    assert str(seconds.left([burst], {burst.id: 50.0}, 1)) == "longer than cells before"


def test_a_fit_for_each_t_is_not_taken_for_one_for_all(tools: Any) -> None:
    once, fitted, other = expand(
        tools.matrix_of(seeds=[0], recipes=["opi", "spikemark", "calib-light"]), None
    )
    assert (once.recipe.needs_time_steps, fitted.recipe.needs_time_steps) == (False, True)
    seconds = Seconds()
    seconds.add(once, 10.0)  # for 1 + 4 forwards an image; at T = 1 and 4 anew there are 1 + 1 + 4
    assert str(seconds.left([fitted], {}, 1)) == "at least 12 s left"
    seconds.add(fitted, 60.0)
    assert other.recipe.needs_time_steps
    assert str(seconds.left([other], {}, 1)) == "about 60 s left"
    assert str(seconds.left([once], {}, 1)) == "about 10 s left"
    assert [in_words(s) for s in (5, 600, 9000)] == ["5 s", "10 min", "2.5 h"]


def test_status_of_a_matrix_that_runs(tools: Any, start: Any, tmp_path: Path) -> None:
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"], time_steps=[1, 30000])
    (cell,) = expand(matrix, None)
    start("run_matrix", matrix, tmp_path)
    claims = Claims(tmp_path)

    def shown() -> str:
        found = statuses(tmp_path)
        return "\n".join(lines(found[-1])) if found else ""

    tools.wait_until(lambda: claims.find(f"ann-{cell.ann.id}") or claims.find(f"cell-{cell.id}"))
    tools.wait_until(lambda: "t = 1 of 30000" in shown())
    assert "tiny: 0 of 1 cells done, 1 running, 0 failed" in shown()
    assert f"{cell.title}: testing, 0 batches, t = 1 of 30000" in shown()
    assert "process " in shown()


def test_status_of_a_matrix_that_ran(written: Path, tools: Any, tmp_path: Path) -> None:
    results = tmp_path / "results"
    tools.run_matrix(tools.matrix_of(seeds=[0]), results)
    for what in ("tiny", written, results, ""):
        shown = call("status", *([what] if what else []), "--results", results)
        assert shown.exit_code == 0, shown.output
        assert "tiny: 3 of 3 cells done, 0 running, 0 failed" in shown.output
    nothing = call("status", "other", "--results", results)
    assert nothing.exit_code == 1
    assert "no run of other in" in nothing.output


def test_a_note_names_files_of_its_folder_alone(tmp_path: Path) -> None:
    note = {"matrix": "evil", "started": 1, "at_once": 1}
    (tmp_path / "runs").mkdir()
    for id_, found in (("../../../etc/passwd", 0), ("a" * 16, 1)):
        cells = [{"id": id_, "ann": "b" * 16, "title": "a cell"}]
        (tmp_path / "runs" / "evil.json").write_text(json.dumps({**note, "cells": cells}))
        assert len(statuses(tmp_path)) == found


def test_status_needs_no_torch(tmp_path: Path) -> None:
    code = "import sys, benchmarks.execution.status; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_that_cannot_be_written_is_said_before_any_work(written: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = call("run", written, "--results", tmp_path / "file" / "results")
    assert done.exit_code == 1
    assert "cannot write" in done.output
    assert "choose another output folder" in done.output
    assert "training" not in done.output


def test_failed_cells_wait_for_retry_failed(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.execution import jobs

    def raising(*_: Any) -> Any:
        raise RuntimeError("out of luck\nfor programmers: look elsewhere")

    results = tmp_path / "results"
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "evaluate", raising)
        first = call("run", written, "--results", results).output
    assert "RuntimeError: out of luck" in first
    assert f"3 job(s) failed, see {results / 'failures'}; all others went on. The same command with" in first
    again = call("run", written, "--results", results)
    assert again.exit_code == 1
    assert again.output.count("failed before (RuntimeError), not run again") == 3
    assert "RuntimeError: out of luck). Add --retry-failed to run them." in again.output
    assert "failed: digits / small_cnn / opi / seed 0: RuntimeError" in call("status", results).output
    assert call("run", written, "--results", results, "--retry-failed").exit_code == 0


def test_a_results_folder_that_vanishes_stops_the_run(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.execution import jobs

    def vanishing(*_: Any) -> Any:
        shutil.rmtree(tmp_path / "results")
        raise RuntimeError("what now")

    monkeypatch.setattr(jobs, "_cell", vanishing)
    monkeypatch.setattr(jobs, "fail", lambda *_: None)
    done = call("run", written, "--results", tmp_path / "results")
    assert done.exit_code == 1
    assert "results was removed while the matrix ran\nPut it back" in done.output
    assert done.output.count("failed") == 0
    assert not (tmp_path / "results").exists()


def test_a_cell_without_memory_says_what_to_do(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.execution import jobs

    def raising(*_: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes")

    monkeypatch.setattr(jobs, "evaluate", raising)
    done = call("run", written, "--results", tmp_path / "results")
    assert "Memory ran out: lower evaluation.batch_size" in done.output
    assert done.exit_code == 1


def test_export_and_import_carry_records(tools: Any, tmp_path: Path) -> None:
    lab, home = tmp_path / "lab", tmp_path / "home"
    tools.run_matrix(tools.matrix_of(seeds=[0], recipes=["opi"]), lab)
    done = call("export", "--results", lab, "--out", tmp_path / "lab.zip")
    assert "(1 files" in done.output
    assert "added 1, already there 0" in call("import", tmp_path / "lab.zip", "--results", home).output
    assert tools.measured(home) == tools.measured(lab)
    assert call("run", "quickstart", "--results", home, "--dry-run").exit_code == 0
    assert "(2 files" in call("export", "--results", lab, "--out", tmp_path / "lab.zip", "--networks").output
    done = call("import", tmp_path / "lab.zip", "--results", tmp_path / "whole", "--networks")
    assert "added 2, already there 0, kept yours 0" in done.output
    (network,) = lab.glob("anns/*/network.pt")
    assert (tmp_path / "whole" / network.relative_to(lab)).read_bytes() == network.read_bytes()


def entries(path: Path) -> Iterator[bytes]:
    """What a .wandb file holds: LevelDB's log format behind 7 bytes of its own.

    Blocks of 32 KiB; each piece has a checksum (4 bytes), a length (2) and a kind (1): whole, first,
    middle or last piece of an entry.
    """
    data, at, pieces = path.read_bytes(), 7, []
    while at + 7 <= len(data):
        room = 32768 - at % 32768
        if room < 7:
            at += room
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        pieces.append(data[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):
            yield b"".join(pieces)
            pieces = []


def history(run: Path) -> tuple[Any, list[dict[str, Any]]]:
    """What an offline run holds: its own record, and the rows that were logged."""
    from wandb.proto import wandb_internal_pb2

    described, rows = None, []
    for data in entries(next(run.glob("*.wandb"))):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "run":
            described = described or record.run
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items})
    return described, rows


def test_offline_runs_hold_what_was_measured(tools: Any, tmp_path: Path) -> None:
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"], tracking={"wandb": "offline"})
    outcome = tools.run_matrix(matrix, tmp_path)
    assert outcome.runs == [run.resolve() for run in offline.offline_runs(tmp_path)]
    described, rows = history(outcome.runs[0])
    assert (described.run_group, described.job_type) == ("tiny", "opi")
    assert set(described.tags) == {"digits", "small_cnn", "binary"}
    assert described.display_name == "digits / small_cnn / opi / seed 0"
    (record,) = tools.measured(tmp_path).values()
    logged = {row["time_step"]: row["snn/top1"] for row in rows if "snn/top1" in row}
    assert logged == {point["t"]: pytest.approx(point["metrics"]["top1"]) for point in record["curve"]}
    (outcome.runs[0] / "run-x.wandb.synced").write_text("")
    assert offline.offline_runs(tmp_path) == []


@pytest.mark.parametrize("broken", ["init", "log", "finish"])
def test_tracking_never_fails_a_cell(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, broken: str
) -> None:
    import wandb

    def fail(*_: Any, **__: Any) -> Any:
        raise ConnectionError("W&B is down")

    if broken == "init":
        monkeypatch.setattr(wandb, "init", fail)
    elif broken == "log":
        monkeypatch.setattr("pytorch_lightning.loggers.WandbLogger.log_metrics", fail)
    else:
        monkeypatch.setattr(tracking.Tracker, "_end", fail)
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"], tracking={"wandb": "offline"})
    outcome = tools.run_matrix(matrix, tmp_path)
    assert len(outcome.finished) == 1
    assert outcome.failures == []
    assert outcome.runs == []
    assert "W&B is down" in caplog.text


def test_sync_says_at_once_that_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setitem(
            sys.modules, "wandb", SimpleNamespace(setup=lambda: SimpleNamespace(settings=settings))
        )
        settings = SimpleNamespace(base_url=address)
        run = tmp_path / "wandb" / "offline-run-1"
        run.mkdir(parents=True)
        (run / "run-1.wandb").write_text("")
        done = call("sync", "--results", tmp_path)
    assert done.exit_code == 1
    assert f"nobody answers at {address}: " in done.output
    assert "1 run(s) are still offline; the same command tries again" in done.output
    assert offline.offline_runs(tmp_path) == [run]


def test_online_runs_are_kept_offline_once_nobody_answers(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    import wandb

    init, asked = wandb.init, []

    def deaf(**options: Any) -> Any:
        asked.append(options["mode"])
        if options["mode"] == "online":
            raise ConnectionError("W&B is down")
        return init(**options)

    monkeypatch.setattr(tracking, "_OUT_OF_REACH", [])
    monkeypatch.setattr(wandb, "init", deaf)
    matrix = tools.matrix_of(seeds=[0], recipes=["opi", "burst"], tracking={"wandb": "online"})
    outcome = tools.run_matrix(matrix, tmp_path)
    assert outcome.failures == []
    assert asked == ["online", "offline", "offline"]
    assert len(offline.offline_runs(tmp_path)) == 2
    assert "`spikemark sync` uploads them later" in caplog.text


def test_wandb_is_off_unless_something_asks(tools: Any, tmp_path: Path) -> None:
    content = {key: value for key, value in tools.TINY.items() if key != "tracking"}
    matrix = Matrix.model_validate({**content, "seeds": [0], "recipes": ["opi"]})
    assert len(tools.run_matrix(matrix, tmp_path).finished) == 1
    assert not (tmp_path / "wandb").exists()


def test_wandb_is_off_where_the_environment_says_so(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    matrix = tools.matrix_of(seeds=[0], recipes=["opi"], tracking={"wandb": "online"})
    assert len(tools.run_matrix(matrix, tmp_path).finished) == 1
    assert not (tmp_path / "wandb").exists()


def test_sync_uploads_what_is_offline_and_says_what_failed(tmp_path: Path, monkeypatch: Any) -> None:
    run = tmp_path / "wandb" / "offline-run-1"
    run.mkdir(parents=True)
    (run / "run-1.wandb").write_text("")
    asked = []

    def answer(words: list[str], **_: Any) -> Any:
        asked.append(words)
        return subprocess.CompletedProcess(words, 1, "", "not logged in")

    monkeypatch.setattr(offline, "unreachable", lambda: None)
    monkeypatch.setattr(offline.subprocess, "run", answer)
    done = call("sync", "--results", tmp_path)
    assert asked[0][1:] == ["-m", "wandb", "sync", str(run)]
    assert done.exit_code == 1
    assert "not logged in" in done.output
    assert "nothing to upload" in call("sync", "--results", tmp_path / "empty").output


def test_status_shows_studies(tmp_path: Path) -> None:
    with Claims(tmp_path).take("study-0123-77", "study of digits / opi") as claim:
        claim.progress.begin("tuning", 20, "trials")
        claim.progress.flush()
        shown = call("status", "--results", tmp_path)
        assert "study of digits / opi: tuning, 0 of 20 trials, for 0 s, process " in shown.output
    assert call("status", "--results", tmp_path).exit_code == 1


def test_status_obeys_nothing_in_a_title(tmp_path: Path) -> None:
    with Claims(tmp_path).take("study-0123", "tuning \x1b[2J\x1b]0;opi\x07 on Ziffern ü"):
        shown = call("status", "--results", tmp_path)
    assert "\x1b" not in shown.output
    assert "\x07" not in shown.output
    assert "on Ziffern ü" in shown.output
