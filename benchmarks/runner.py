"""Run a matrix: each ANN once, each cell once, one record a cell.

A cell that fails does not stop the others; an interrupted run continues where it stopped, because
finished cells are found by their records.
"""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from rich.console import Console

from benchmarks.anns import AnnStore, TrainedAnn, trained_ann
from benchmarks.cells import AnnSpec, Cell, expand
from benchmarks.data import evaluation_data
from benchmarks.errors import AnnError
from benchmarks.evaluate import evaluate
from benchmarks.progress import BatchReport, Display
from benchmarks.spec import Matrix
from benchmarks.tracking import finish_run, start_run
from conversion import ConversionError
from datamodules import DataError, DataModule
from leaderboard import Record, ResultStore, StoreError
from lightning_modules.networks import CheckpointError, NetworkError

# Errors that their message explains; anything else is printed with its traceback.
EXPLAINED = (AnnError, CheckpointError, ConversionError, DataError, NetworkError, StoreError)


@dataclass
class Outcome:
    """What became of a matrix."""

    finished: list[Cell] = field(default_factory=list)
    skipped: list[Cell] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)  # what, why
    runs: list[Path] = field(default_factory=list)  # folders of tracked runs
    interrupted: bool = False


def run(matrix: Matrix, data_root: Path | None, results: Path, console: Console) -> Outcome:
    """Run every cell of a matrix that has no record yet.

    Args:
        matrix: what to run.
        data_root: folder that data sets and checkpoints are relative to.
        results: folder of records, trained networks and tracked runs.
        console: where progress is shown.

    Raises:
        AnnError: a checkpoint file does not exist.
        StoreError: the results folder cannot be used.
    """
    quieten()
    cells = expand(matrix, data_root)
    outcome = Outcome()
    with Display(console, len(cells)) as display:
        session = _Session(matrix, results, display, outcome)
        try:
            for ann, members in groupby(cells, key=lambda cell: cell.ann):
                session.run_group(ann, list(members))
        except (KeyboardInterrupt, SystemExit):  # Lightning turns an interrupt into an exit
            outcome.interrupted = True
    return outcome


class _Session:
    def __init__(self, matrix: Matrix, results: Path, display: Display, outcome: Outcome) -> None:
        self._matrix = matrix
        self._results = results
        self._display = display
        self._outcome = outcome
        self._store = ResultStore(results)
        self._anns = AnnStore(results)

    def run_group(self, spec: AnnSpec, cells: list[Cell]) -> None:
        """All cells that share one ANN."""
        missing = []
        for cell in cells:
            if self._store.has(cell.id):
                self._outcome.skipped.append(cell)
                self._display.skipped(cell)
            else:
                missing.append(cell)
        if not missing:
            return
        try:
            data = self._data(spec)
            ann = trained_ann(self._matrix, missing[0], data, self._anns, self._display)
        except Exception as error:
            self._fail(missing, f"{missing[0].dataset} / {missing[0].network}", error)
            return
        for cell in missing:
            try:
                self._run_cell(cell, ann, data)
            except Exception as error:
                self._fail([cell], cell.title, error)

    def _data(self, spec: AnnSpec) -> DataModule:
        data = evaluation_data(self._matrix, spec)
        data.setup()
        return data

    def _run_cell(self, cell: Cell, ann: TrainedAnn, data: DataModule) -> None:
        self._display.testing(cell)
        logger = start_run(cell, self._results)
        summary: dict[str, float] = {}
        try:
            record = evaluate(cell, ann, data, [BatchReport(self._display)], logger)
            summary = _summary(record)
            self._store.write(record)
        finally:
            if folder := finish_run(logger, summary):
                self._outcome.runs.append(folder)
        self._outcome.finished.append(cell)
        last = record.curve[-1]
        self._display.finished(
            cell,
            f"{record.metric} {100 * last.metrics[record.metric]:.1f} % at t = {last.t}, "
            f"ANN {100 * record.ann.metrics[record.metric]:.1f} %, "
            f"{record.provenance.wall_time_s['cell']:.1f} s",
        )

    def _fail(self, cells: Iterable[Cell], what: str, error: Exception) -> None:
        explained = isinstance(error, EXPLAINED)
        why = str(error) if explained else "".join(traceback.format_exception(error))
        self._outcome.failures.append((what, why))
        for cell in cells:
            self._display.finished(cell, "failed")


def _summary(record: Record) -> dict[str, float]:
    last = record.curve[-1]
    return {
        **{f"final/{name}": value for name, value in last.metrics.items()},
        **{f"ann/{name}": value for name, value in record.ann.metrics.items()},
        "final/energy_relative_to_ann": last.energy_pj["operations"] / record.ann.energy_pj["operations"],
    }


def quieten() -> None:
    """Lightning's hints do not belong into a matrix's progress; errors still come through."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"pytorch_lightning\..*")
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*")
