"""Says what is running and what remains: live bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.cells import Cell
from benchmarks.coordination.progress_file import ProgressFile
from benchmarks.output import printable


class Display:
    """Progress of a whole matrix and of the step that is running."""

    def __init__(self, console: Console, cells: int) -> None:
        self.console = console
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
        self._cells = self._bars.add_task("matrix", total=cells, unit="cells")
        self._step = self._bars.add_task("", total=None, unit="", visible=False)
        self._total = cells
        self._done = 0

    def __enter__(self) -> Display:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def note(self, message: str) -> None:
        """Print a line that stays."""
        self.console.print(printable(message), highlight=False, markup=False, soft_wrap=True)

    def finished(self, cell: Cell, outcome: str) -> None:
        """A cell that has just ended."""
        self._advance()
        self.note(f"[{self._done}/{self._total}] {cell.title}: {outcome}")

    def training(self, what: str, epochs: int) -> None:
        """A training begins."""
        if not self._live:
            self.note(f"training {what}, {epochs} epochs")
        self._begin(f"  training {what}", epochs, "epochs")

    def step_done(self, done: int, total: int) -> None:
        """`done` of `total` epochs, batches or trials are over."""
        self._bars.update(self._step, completed=done, total=total)

    def tuning(self, what: str, trials: int) -> None:
        """A study begins."""
        self._begin(f"  tuning {what}", trials, "trials")

    def _begin(self, what: str, total: int | None, unit: str) -> None:
        self._bars.reset(self._step, total=total, description=what, unit=unit, visible=True)

    def _advance(self) -> None:
        self._done += 1
        self._bars.update(self._cells, completed=self._done)
        self._bars.update(self._step, visible=False)


class BatchReport(pl.Callback):
    """Writes the batches of a test to a progress file."""

    def __init__(self, progress: ProgressFile) -> None:
        self._progress = progress

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """One more batch."""
        self._progress.step(args[2] + 1, int(trainer.num_test_batches[0]))


class EpochReport(pl.Callback):
    """Writes the epochs of a training to a progress file, also from processes that train together."""

    def __init__(self, progress: ProgressFile) -> None:
        self._progress = progress

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """One more epoch."""
        if trainer.is_global_zero:
            self._progress.step(trainer.current_epoch + 1, trainer.max_epochs or 0)
