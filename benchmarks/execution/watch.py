"""Shows a matrix while it runs: live bars in a terminal, a line a minute elsewhere.

What is running, and how far it is, comes from the claims of the results folder: the same for work in this
process, in its workers, and on other machines.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.cells import Cell
from benchmarks.coordination.claims import Claims, Holding
from benchmarks.execution.costs import Seconds
from benchmarks.execution.jobs import Job
from benchmarks.output import printable

LOOK = 0.5  # seconds between two looks at the claims
LINE = 60.0  # seconds between two lines where there is no terminal
SHOWN = 16  # jobs at most


class Watch:
    """Counts cells, and says what is running.

    Args:
        console: where to.
        cells: in all.
        claims: of the results folder.
        seconds: measured costs, which grow while the matrix runs.
        workers: jobs at a time; None where nobody knows.
    """

    def __init__(
        self, console: Console, cells: int, claims: Claims, seconds: Seconds, workers: int | None
    ) -> None:
        self._console = console
        self._live = console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not self._live,
            transient=True,
        )
        self._matrix = self._bars.add_task("matrix", total=cells, unit="cells")
        self._claims, self._seconds, self._workers = claims, seconds, workers
        self._total, self._done, self._failed = cells, 0, 0
        self._missing: dict[str, Cell] = {}
        self._running: dict[str, Job] = {}
        self._waiting: dict[str, int] = {}  # network -> cells that wait for it
        self._tasks: dict[str, object] = {}
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._bars.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._bars.stop()

    def note(self, message: str) -> None:
        """Print a line that stays."""
        self._console.print(printable(message), highlight=False, markup=False, soft_wrap=True)

    def expect(self, cells: list[Cell], waiting: dict[str, int]) -> None:
        """Cells that are to run, and how many of them wait for each network."""
        with self._lock:
            self._missing = {cell.id: cell for cell in cells}
            self._waiting = dict(waiting)

    def begins(self, job: Job) -> None:
        """A job was submitted."""
        if job.train and not self._live:
            training = job.cell.ann.training
            self.note(
                f"training {job.cell.network} on {job.cell.dataset}, {training.epochs} epochs; "
                f"{self._waiting.get(job.id, 0)} cell(s) wait for it"
            )
        with self._lock:
            self._running[job.key] = job

    def ends(self, job: Job) -> None:
        """A submitted job is over, whatever became of it."""
        with self._lock:
            self._running.pop(job.key, None)
            if job.train:
                self._waiting.pop(job.id, None)

    def counts(self, cell: Cell, text: str, failed: bool = False) -> None:
        """A cell is over."""
        with self._lock:
            self._done += 1
            self._failed += failed
            self._missing.pop(cell.id, None)
            self._bars.update(self._matrix, completed=self._done)
            self.note(f"[{self._done}/{self._total}] {cell.title}: {text}")

    def _look(self) -> None:
        line = time.monotonic()
        while not self._ended.wait(LOOK):
            with self._lock:
                running = list(self._running.values())
            held = [(job, found) for job in running if (found := self._claims.find(job.key)) is not None]
            if self._live:
                self._draw(held[:SHOWN])
            elif time.monotonic() - line >= LINE:
                line = time.monotonic()
                self.note(self.summary(held))

    def summary(self, held: list[tuple[Job, Holding]]) -> str:
        """Where the matrix is, in one line."""
        parts = [f"{self._done} of {self._total} cells done", f"{len(held)} running"]
        if self._failed:
            parts.append(f"{self._failed} failed")
        parts.append(self._remaining(held))
        running = "; ".join(f"{job.title}: {self._words(job, holding)}" for job, holding in held)
        return ", ".join(filter(None, parts)) + (f" | {running}" if running else "")

    def _remaining(self, held: list[tuple[Job, Holding]]) -> str:
        elapsed = {job.id: time.time() - holding.since for job, holding in held if not job.train}
        with self._lock:
            at_once = self._workers or max(1, len(self._running))
            left = self._seconds.left(self._missing.values(), elapsed, at_once)
            trains = any(job.train for job in self._running.values())
        if left is None:
            return ""
        return str(replace(left, at_least=True) if trains else left)

    def _words(self, job: Job, holding: Holding) -> str:
        words = str(holding.progress) if holding.progress is not None else "begins"
        waiting = self._waiting.get(job.id, 0) if job.train else 0
        return f"{words}, {waiting} cell(s) wait for it" if waiting else words

    def _draw(self, held: list[tuple[Job, Holding]]) -> None:
        self._bars.update(self._matrix, description=f"matrix  {self._remaining(held)}".rstrip())
        shown = {job.key for job, _ in held}
        for key in [key for key in self._tasks if key not in shown]:
            self._bars.remove_task(self._tasks.pop(key))  # type: ignore[arg-type]
        for job, holding in held:
            if job.key not in self._tasks:
                self._tasks[job.key] = self._bars.add_task("", total=None, unit="")
            progress = holding.progress
            self._bars.update(
                self._tasks[job.key],  # type: ignore[arg-type]
                description=f"  {job.title}: {self._words(job, holding)}",
                completed=progress.done if progress is not None else 0,
                total=progress.total or None if progress is not None else None,
                unit=progress.unit if progress is not None else "",
            )
