"""A storm of kills: runs of a matrix are ended at random moments, again and again; what is left is verified.

`tox run -e storm` runs it for five minutes. The same seed chooses the same victims and signals; the moments
depend on how busy the machine is.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import psutil
import yaml
from rich.table import Table

from benchmarks.output import say, screen
from leaderboard import ResultStore
from leaderboard.records.record import repeatable

RUNNERS = (("--workers", "2"), ())  # one with workers, one in its own process, in the same folder
OFTEN, SELDOM = 0.6, 0.2  # probabilities
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PATIENCE = 600.0  # seconds in which a run that nobody disturbs must finish something
EDGE = 90.0  # seconds to wait for work to begin
SHOWN = 3000  # characters of a traceback
GRACE = 20.0  # seconds in which what a killed process started must have ended


def matrix_of(recipes: int, seeds: int) -> dict[str, Any]:
    """Tiny cells on the embedded digits."""
    names = ["opi", "burst", "maxnorm", "percentile", "spicalib", "ptq", "spikemark"]
    return {
        "name": "storm",
        "datasets": [{"name": "digits", "size": 8}],
        "networks": ["small_cnn"],
        "recipes": names[:recipes],
        "time_steps": [1, 4, 512],
        "seeds": list(range(seeds)),
        "training": {"epochs": 2, "batch_size": 256},
        "evaluation": {"calibration_images": 32, "test_images": 100, "batch_size": 20},
        "tracking": {"wandb": "off"},
    }


@dataclass
class StormReport:
    """What a storm has left, after a run that nobody disturbed.

    Attributes:
        kills: victim and signal -> how often.
        cells: of all matrices.
        lost: cells without a record.
        doubled: records that were written twice.
        half: files of records that are none.
        altered: records that differ from those of runs that nothing happened to.
        failed: cells that needed --retry-failed, because their worker was killed too often.
        orphans: processes that outlived the run that started them.
        claims: that nobody gave up.
        tracebacks: that were printed.
        hung: runs that did not end.
        said: the tracebacks.
    """

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    cells: int = 0
    lost: int = 0
    doubled: int = 0
    half: int = 0
    altered: int = 0
    failed: int = 0
    orphans: int = 0
    claims: int = 0
    tracebacks: int = 0
    hung: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        """Whether anything happened that must not."""
        names = ("lost", "doubled", "half", "altered", "orphans", "claims", "tracebacks", "hung")
        return any(getattr(self, name) for name in names)


class Storm:
    """Ends runs of one matrix in one folder.

    Args:
        folder: for the matrix, the results and what is printed; empty.
        matrix: what is run.
        chance: chooses victims, signals and moments.
        report: counts.
    """

    def __init__(
        self, folder: Path, matrix: dict[str, Any], chance: random.Random, report: StormReport
    ) -> None:
        self._folder, self._results = folder, folder / "results"
        self._matrix = folder / "matrix.yaml"
        self._matrix.write_text(yaml.safe_dump(matrix), encoding="utf-8")
        self._chance, self._report = chance, report
        self._cells = len(matrix["recipes"]) * len(matrix["seeds"])
        self._runs: list[subprocess.Popen[bytes] | None] = [None] * len(RUNNERS)
        self._started: set[psutil.Process] = set()
        self._seen: dict[str, tuple[int, int]] = {}
        self._printed = 0
        report.cells += self._cells

    def kill_until(self, until: float, kills: int) -> None:
        """Kill until a moment of `time.monotonic`, so often, or until all cells are done."""
        while time.monotonic() < until and kills > 0 and len(self._watch()) < self._cells:
            for place, options in enumerate(RUNNERS):
                run = self._runs[place]
                wanted = place == 0 or self._chance.random() < OFTEN
                if wanted and (run is None or run.poll() is not None):
                    self._runs[place] = self._start(*options)
            self._wait_for_a_moment()
            kills -= self._kill()
        self._end_all()

    def verify(self, undisturbed: dict[str, Any]) -> None:
        """Let one run go to its end, and verify what is left against records that nothing happened to."""
        self._report.failed += len(list(self._results.glob("failures/*.json")))
        if not self._goes_on(self._start("--retry-failed")):
            self._report.hung += 1
        self._watch()
        found, half = measured(self._results)
        self._report.half += half
        self._report.lost += len(undisturbed.keys() - found.keys())
        both = found.keys() & undisturbed.keys()
        self._report.altered += sum(found[id_] != undisturbed[id_] for id_ in both)
        self._report.claims += len(list(self._results.glob("claims/[!.]*.json")))
        alive = outlived(self._started, GRACE)
        self._report.orphans += len(alive)
        for process in alive:
            process.kill()
        for path in self._folder.glob("*.txt"):
            text = path.read_text(encoding="utf-8", errors="replace")
            if "Traceback" in text:
                self._report.tracebacks += 1
                self._report.said.append(text[text.index("Traceback") :][:SHOWN])

    def _goes_on(self, run: subprocess.Popen[bytes]) -> bool:
        """Wait for the end of a run; False where it has finished nothing for long, and is killed."""
        while True:
            before = self._finished()
            try:
                run.wait(PATIENCE)
                return True
            except subprocess.TimeoutExpired:
                if self._finished() == before:
                    run.kill()
                    return False

    def _finished(self) -> int:
        return len([*self._results.glob("records/[!.]*.json"), *self._results.glob("anns/*/network.pt")])

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        self._printed += 1
        command = [sys.executable, "-m", "benchmarks.cli", "run", str(self._matrix), *options]
        surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "SPIKEMARK_RESULTS": str(self._results)}
        with (self._folder / f"{self._printed}.txt").open("wb") as printed:
            return subprocess.Popen(command, stdout=printed, stderr=printed, env=surroundings)

    def _wait_for_a_moment(self) -> None:
        """Anywhere in the start of a run, or anywhere in its work."""
        if self._chance.random() < SELDOM:
            time.sleep(self._chance.uniform(0, 8))
            return
        sign = "claims/cell-*.json" if self._chance.random() < OFTEN else "claims/[!.]*.json"
        deadline = time.monotonic() + EDGE
        while time.monotonic() < deadline and not (self._has_workers() and list(self._results.glob(sign))):
            time.sleep(0.05)
        time.sleep(self._chance.expovariate(1.0))

    def _has_workers(self) -> bool:
        run = self._runs[0]
        try:
            below = psutil.Process(run.pid).children(recursive=True) if run is not None else []
            return any(_name(each) == "worker" for each in below)
        except psutil.Error:
            return False

    def _kill(self) -> int:
        """End one process of one run; how many were ended."""
        alive = [run for run in self._runs if run is not None and run.poll() is None]
        if not alive:
            return 0
        victims: list[tuple[str, psutil.Process]] = []
        for run in alive:
            with suppress(psutil.Error):
                process = psutil.Process(run.pid)
                below = [(_name(each), each) for each in process.children(recursive=True)]
                self._started.update(each for _, each in below)
                victims += [("runner", process), *((name, each) for name, each in below if name)]
        names = sorted({name for name, _ in victims} - {"runner"} or {"runner"})
        name = self._chance.choice(names) if self._chance.random() < OFTEN else "runner"
        process = self._chance.choice([each for found, each in victims if found == name])
        chosen = self._chance.choice(SIGNALS)
        with suppress(psutil.Error):
            process.send_signal(chosen)
            self._report.kills[name, chosen.name] += 1
            return 1
        return 0

    def _watch(self) -> dict[str, tuple[int, int]]:
        """Records so far; one that was there before and is another now was written twice."""
        for path in self._results.glob("records/[!.]*.json"):
            found = path.stat()
            mark = (found.st_ino, found.st_mtime_ns)
            self._report.doubled += self._seen.setdefault(path.stem, mark) != mark
        return self._seen

    def _end_all(self) -> None:
        for run in self._runs:
            if run is not None:
                run.kill()
                run.wait()
                self._report.kills["runner", "SIGKILL"] += 1


def _name(process: psutil.Process) -> str:
    """What a process below a runner is; empty for those that are nobody's victims."""
    words = " ".join(process.cmdline())
    if "resource_tracker" in words:
        return ""
    if "forkserver" not in words:
        return "other"
    parent = process.parent()
    return "worker" if parent is not None and "forkserver" in " ".join(parent.cmdline()) else "fork server"


def outlived(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Processes that still run after some seconds; what has ended and was not taken notice of does not."""
    deadline = time.monotonic() + seconds
    while alive := [each for each in processes if _runs(each)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return alive


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False


def storm(folder: Path, seed: int, seconds: float, kills: int, recipes: int, seeds: int) -> StormReport:
    """Storms over one matrix after another until the time is over, each verified.

    Args:
        folder: for all files; empty.
        seed: of the choices.
        seconds: of killing.
        kills: at most, in each storm.
        recipes: of the matrix.
        seeds: of the matrix.
    """
    chance, report, matrix = random.Random(seed), StormReport(), matrix_of(recipes, seeds)
    calm = folder / "calm"
    calm.mkdir()
    undisturbed = _undisturbed(calm, matrix)
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number += 1
        place = folder / str(number)
        place.mkdir()
        one = Storm(place, matrix, chance, report)
        one.kill_until(until, kills)
        one.verify(undisturbed)
        if kills < 100:
            break
    return report


def _undisturbed(folder: Path, matrix: dict[str, Any]) -> dict[str, Any]:
    one = Storm(folder, matrix, random.Random(0), StormReport())
    assert one._goes_on(one._start("--workers", "2")), "a run that nobody disturbs goes on"
    return measured(folder / "results")[0]


def measured(results: Path) -> tuple[dict[str, Any], int]:
    """What records say, but for clocks and the state of the checkout; and how many files are no records."""
    loaded = ResultStore(results).load()
    found = {record.cell_id: repeatable(record) for record in loaded.records}
    for content in found.values():
        del content["provenance"]["git_commit"], content["provenance"]["git_dirty"]
    return found, len(loaded.invalid)


def show(report: StormReport) -> None:
    """Print the tables."""
    console = screen()
    table = Table(title="killed", title_justify="left", box=None)
    names = [each.name for each in SIGNALS]
    for column in ("", *names):
        table.add_column(column, justify="right" if column else "left")
    for victim in sorted({victim for victim, _ in report.kills}):
        table.add_row(victim, *(str(report.kills[victim, name]) for name in names))
    console.print(table)
    console.print()
    table = Table(title=f"left of {report.cells} cells", title_justify="left", box=None)
    table.add_column("")
    table.add_column("", justify="right")
    for name, value in vars(report).items():
        if isinstance(value, int) and name != "cells":
            table.add_row(name, str(value))
    console.print(table)


@click.command()
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--minutes", type=float, default=5.0, show_default=True, help="Of killing.")
@click.option("--recipes", type=click.IntRange(1, 7), default=7, show_default=True)
@click.option("--seeds", type=click.IntRange(min=1), default=4, show_default=True)
def main(seed: int, minutes: float, recipes: int, seeds: int) -> None:
    """Kill runs at random moments, with random signals, runners and workers alike; then verify."""
    with tempfile.TemporaryDirectory() as folder:
        report = storm(Path(folder), seed, 60 * minutes, 10**9, recipes, seeds)
    show(report)
    for text in report.said:
        say(text, err=True)
    if report.broken:
        say("something was lost, doubled, altered or left", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
