"""The unit that is submitted: one cell, or the one training that cells wait for.

A job carries everything it needs, so any process that sees the results folder and the data can run it. It
takes a claim first, so submitting it twice does no harm. It writes its record or failure itself, so nothing
is lost when the runner dies. Its answer to the runner is a few words.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from torch import Tensor

from benchmarks.anns import AnnStore, TrainedAnn, ann_title
from benchmarks.cells import AnnSpec, Cell
from benchmarks.coordination.claims import Claim, Claims
from benchmarks.coordination.owners import Owner
from benchmarks.data import evaluation_data
from benchmarks.diagnose import diagnose_cell, unseen_images
from benchmarks.drawing import pictures_folder, shown_time_steps, write_pictures
from benchmarks.errors import AnnError
from benchmarks.evaluate import evaluate
from benchmarks.execution.lost_workers import NotStarted
from benchmarks.execution.threads import at_most
from benchmarks.offline import remove_run
from benchmarks.provenance import package_versions
from benchmarks.quiet import hide_lightning_hints
from benchmarks.tracking import start_run
from benchmarks.user_errors import USER_ERRORS
from datamodules import DataError, DataModule
from leaderboard import Record, ResultStore, StoreError
from leaderboard.files.atomic import FULL, unwritable
from leaderboard.records.fields import LONGEST_TEXT
from leaderboard.store.failures import Failure, FailureStore
from lightning_modules.networks import CheckpointError, NetworkError

Status = Literal["done", "there", "busy", "lost", "failed", "unwritable"]

# Errors whose cause lies outside the cell: the next run tries the cell again without being asked.
OUTSIDE_CAUSES = (AnnError, CheckpointError, DataError, NetworkError, NotStarted, StoreError)

_ONE_AT_A_TIME = threading.Lock()  # seeds are global to a process, and a Dask worker may have threads


@dataclass(frozen=True)
class Job:
    """A cell to run, or (`train`) its network to train."""

    cell: Cell
    results: Path
    train: bool = False

    @property
    def id(self) -> str:
        """Of the cell or of the network: what records, failures and claims are named by."""
        return self.cell.ann.id if self.train else self.cell.id

    @property
    def key(self) -> str:
        """Name of its claim."""
        return f"{'ann' if self.train else 'cell'}-{self.id}"

    @property
    def title(self) -> str:
        """Short name for people."""
        return ann_title(self.cell) if self.train else self.cell.title


@dataclass(frozen=True)
class Answer:
    """What became of a job.

    Attributes:
        status: "done"; "there" already; "busy", held by somebody else; "lost", taken over by somebody
            else, who thought this process dead; "failed"; "unwritable", the results folder cannot be
            written any more, so nothing else is worth starting.
        text: one line, or the whole reason of a failure.
        seconds: that it took.
        run: folder of the tracked run.
    """

    status: Status
    text: str = ""
    seconds: float = 0.0
    run: Path | None = None


def run_job(job: Job) -> Answer:
    """Run a job in this process; what goes wrong is in the answer and in the failures of the results."""
    with _ONE_AT_A_TIME:
        hide_lightning_hints()
        started = time.monotonic()
        if not job.results.is_dir():
            return Answer("failed", f"{Owner.here()} does not see the results folder {job.results}")
        try:
            with at_most(job.cell.settings.trainer.threads):
                answer = _train(job) if job.train else _claimed(job)
        except StoreError as error:
            return Answer("unwritable", str(error))
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                return Answer("unwritable", str(unwritable(Path(error.filename or job.results), error)))
            answer = _failed(job, error)
        return Answer(answer.status, answer.text, time.monotonic() - started, answer.run)


def fail(job: Job, error: BaseException, worker: str, trace: str | None) -> Failure:
    """Write why a job came to nothing.

    Raises:
        StoreError: the results folder cannot be written.
    """
    failure = Failure(
        id=job.id,
        kind="network" if job.train else "cell",
        matrix=job.cell.settings.matrix,
        title=job.title[:LONGEST_TEXT],
        error=type(error).__name__,
        message=str(error),
        traceback=trace,
        outside_cause=isinstance(error, OUTSIDE_CAUSES),
        worker=worker,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=package_versions(),
    )
    FailureStore(job.results).write(failure)
    return failure


def _failed(job: Job, error: Exception) -> Answer:
    trace = "".join(traceback.format_exception(error))
    try:
        fail(job, error, str(Owner.here()), trace)
    except StoreError as unwritable:
        return Answer("unwritable", str(unwritable))
    return Answer("failed", str(error) if isinstance(error, USER_ERRORS) else trace)


def _train(job: Job) -> Answer:
    _ready(job.cell, job.results)
    FailureStore(job.results).clear(job.id)
    return Answer("done")


def _claimed(job: Job) -> Answer:
    claim = Claims(job.results).take(job.key, job.title)
    if claim is None:
        return Answer("busy")
    with claim:
        if ResultStore(job.results).has(job.id):
            return Answer("there")
        return _cell(job, claim)


def _cell(job: Job, claim: Claim) -> Answer:
    cell, ready = job.cell, _ready(job.cell, job.results)
    tracker = start_run(cell, job.results)
    summary: dict[str, float] = {}
    folder = None
    try:
        logger = tracker.logger if tracker is not None else None
        evaluated = evaluate(cell, ready.ann, ready.data, claim.progress, logger)
        record = evaluated.record
        summary = _summary(record)
    finally:
        if tracker is not None:  # before the record: a run without one is removed when the cell runs again
            folder = tracker.finish(summary)
    if not claim.held:
        if folder is not None:
            remove_run(folder)
        return Answer("lost")
    ResultStore(job.results).write(record)
    FailureStore(job.results).clear(job.id)
    folder_of_pictures = pictures_folder(cell, job.results)
    wanted = cell.settings.pictures
    write_pictures(cell, evaluated.module, evaluated.network, ready.data, wanted, folder_of_pictures)
    if ready.unseen is not None:
        steps = shown_time_steps(cell.settings.time_steps)
        diagnose_cell(cell, ready.ann.network, evaluated.network, ready.unseen, steps, job.results)
    return Answer("done", _in_words(record), run=folder)


@dataclass(frozen=True)
class _Ready:
    """What the cells of one network share; a process keeps it for the next cell."""

    key: tuple[object, ...]
    ann: TrainedAnn
    data: DataModule
    unseen: Tensor | None  # training images to diagnose on


_LAST: list[_Ready] = []


def _ready(cell: Cell, results: Path) -> _Ready:
    """A cell's data and trained network; trains it if nobody has."""
    anns, spec, settings = AnnStore(results), cell.ann, cell.settings
    shared = (settings.evaluation, settings.trainer, settings.diagnostics)
    key = (_identity(spec), *shared, results, os.getpid())
    if _LAST and _LAST[0].key == key and anns.path_of(spec).is_file():
        return _LAST[0]
    data = evaluation_data(settings.evaluation, spec)
    data.setup()
    ann = anns.get(settings, spec, ann_title(cell), data)
    unseen = unseen_images(cell, settings.diagnostics) if settings.diagnostics else None
    _LAST[:] = [_Ready(key, ann, data, unseen)]
    return _LAST[0]


def _identity(spec: AnnSpec) -> tuple[object, ...]:
    return (spec.id, spec.seed, spec.data_root)


def _summary(record: Record) -> dict[str, float]:
    last = record.curve[-1]
    return {
        **{f"final/{name}": value for name, value in last.metrics.items()},
        **{f"ann/{name}": value for name, value in record.ann.metrics.items()},
        "final/energy_relative_to_ann": last.energy_pj["operations"] / record.ann.energy_pj["operations"],
    }


def _in_words(record: Record) -> str:
    last = record.curve[-1]
    return (
        f"{record.metric} {100 * last.metrics[record.metric]:.1f} % at t = {last.t}, "
        f"ANN {100 * record.ann.metrics[record.metric]:.1f} %, "
        f"{record.provenance.wall_time_s['cell']:.1f} s"
    )
