"""Run a matrix: each ANN once, each cell once, one record a cell.

The runner knows which jobs there are and which of them wait for others. It submits them to an executor and
counts the answers; the executor decides where they run (`benchmarks.execution`). A job that fails does not
stop the others. A run that ends early loses no finished cell: the next run finds them by their records.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.anns import AnnStore
from benchmarks.cells import Cell, expand
from benchmarks.coordination.claims import Claims
from benchmarks.coordination.leftovers import sweep_results
from benchmarks.errors import is_out_of_memory
from benchmarks.execution.executors import open_executor
from benchmarks.execution.jobs import Answer, Job, fail, run_job
from benchmarks.execution.lost_workers import DiedOften, ExecutorLost, NotStarted, WorkerDied
from benchmarks.execution.plan import RunPlan, make_plan, note
from benchmarks.execution.watch import Watch
from benchmarks.execution.where import Where
from benchmarks.quiet import hide_lightning_hints
from benchmarks.spec import Matrix
from leaderboard import ResultStore, StoreError
from leaderboard.files.atomic import check_writable
from leaderboard.store.failures import Failure, FailureStore

RETRIES = 2  # further tries of a job whose worker was killed
LOOK_EVERY = 1.0  # seconds between two looks at work that another runner does


@dataclass
class Outcome:
    """What became of a matrix."""

    finished: list[Cell] = field(default_factory=list)
    skipped: list[Cell] = field(default_factory=list)  # finished before, or by another runner meanwhile
    failures: list[tuple[str, str]] = field(default_factory=list)  # what, why
    failed_before: list[tuple[Cell, Failure]] = field(default_factory=list)  # and not tried again
    runs: list[Path] = field(default_factory=list)  # folders of tracked runs
    starved: set[str] = field(default_factory=set)  # "training", "cell": what memory ran out in
    interrupted: bool = False
    stopped: str = ""  # why no further job could be run


def run(
    matrix: Matrix,
    data_root: Path | None,
    results: Path,
    console: Console,
    where: Where | None = None,
    retry_failed: bool = False,
) -> Outcome:
    """Run every cell of a matrix that has no record yet.

    Args:
        matrix: what to run.
        data_root: folder that data sets and checkpoints are relative to.
        results: folder of records, trained networks and tracked runs.
        console: where progress is shown.
        where: where jobs run; None: one after another in this process.
        retry_failed: run cells that failed before, too.

    Raises:
        AnnError: a checkpoint file does not exist.
        StoreError: the results folder cannot be used.
        ExecutionError: jobs cannot run where they are asked to.
    """
    where = where or Where()
    hide_lightning_hints()
    results = results.absolute()
    cells = expand(matrix, data_root.absolute() if data_root is not None else None)
    for folder in ("records", "claims", "failures"):
        check_writable(results / folder)
    sweep_results(results)
    plan = make_plan(cells, results, retry_failed)
    note(plan, matrix.name, cells, where.workers)
    claims = Claims(results)
    outcome = Outcome()
    with Watch(
        console, len(cells), claims, plan.seconds, where.workers or (1 if where.in_process else None)
    ) as watch:
        report_not_run(plan, watch, outcome)
        if plan.missing:
            executor = open_executor(where)
            try:
                _MatrixRun(plan, executor, where.at_once, claims, watch, outcome).go()
            except (KeyboardInterrupt, SystemExit):  # Lightning turns an interrupt into an exit
                outcome.interrupted = True
            except StoreError as error:
                outcome.stopped = str(error)
            except ExecutorLost as error:
                outcome.stopped = f"{error}. Start it again, then the same command."
            finally:
                early = outcome.interrupted or bool(outcome.stopped)
                executor.shutdown(wait=not early, cancel_futures=early)
    claims.sweep(_finished(plan, outcome))  # an owner may be killed between its result and its claim's end
    return outcome


def _finished(plan: RunPlan, outcome: Outcome) -> Iterator[str]:
    """Keys of the work of which there is a result."""
    anns = AnnStore(plan.results)
    for cell in (*outcome.skipped, *outcome.finished):
        yield Job(cell, plan.results).key
        if anns.path_of(cell.ann).is_file():
            yield Job(cell, plan.results, train=True).key


def report_not_run(plan: RunPlan, watch: Watch, outcome: Outcome) -> None:
    """Say what is not run, and why."""
    for path, why in plan.damaged:
        watch.note(f"set aside: {path}: {why}; its cell is run again")
    for cell in plan.done:
        outcome.skipped.append(cell)
        watch.counts(cell, "finished before, not run again")
    for cell, failure in plan.failed:
        outcome.failed_before.append((cell, failure))
        watch.counts(cell, f"failed before ({failure.error}), not run again", failed=True)


class _MatrixRun:
    def __init__(
        self,
        plan: RunPlan,
        executor: Executor,
        at_once: int | None,
        claims: Claims,
        watch: Watch,
        outcome: Outcome,
    ) -> None:
        self._plan, self._executor, self._at_once = plan, executor, at_once
        self._claims, self._watch, self._outcome = claims, watch, outcome
        self._store, self._failures = ResultStore(plan.results), FailureStore(plan.results)
        self._killed: Counter[str] = Counter()  # workers, by the key of their job
        self._running: dict[Future[Answer], Job] = {}
        self._held_by_others: dict[str, Job] = {}  # what another runner does, by key
        self._failed_before: dict[str, Failure | None] = {}  # when a job was begun or left to others, by key
        self._blocked: dict[str, list[Job]] = {}  # network -> cells that wait for it
        trainings = plan.trainings()
        self._ready: list[Job] = []
        for cell in plan.missing:
            if cell.ann.id not in trainings:
                self._ready.append(Job(cell, plan.results))
                continue
            if cell.ann.id not in self._blocked:
                self._ready.append(trainings[cell.ann.id])
            self._blocked.setdefault(cell.ann.id, []).append(Job(cell, plan.results))
        if at_once != 1:  # with several workers, networks are trained before cells run
            self._ready.sort(key=lambda job: not job.train)

    def go(self) -> None:
        """Run until nothing is left."""
        self._watch.expect(self._plan.missing, {ann: len(jobs) for ann, jobs in self._blocked.items()})
        looked = 0.0
        while self._ready or self._running or self._held_by_others:
            self._submit()
            if self._running:
                done, _ = wait(self._running, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
                for future in done:
                    self._take_answer(self._running.pop(future), future)
            elif self._held_by_others:
                time.sleep(LOOK_EVERY)
            if self._held_by_others and time.monotonic() - looked >= LOOK_EVERY:
                looked = time.monotonic()
                self._look_at_others()

    def _submit(self) -> None:
        while self._ready and (self._at_once is None or len(self._running) < self._at_once):
            job = self._ready.pop(0)
            self._failed_before[job.key] = self._failures.get(job.id)
            holding = self._claims.find(job.key)
            if holding is not None and not holding.stale:
                if not self._held_by_others:
                    self._watch.note(f"{holding.who} is at work on {holding.title}; the rest goes on here")
                self._held_by_others[job.key] = job
                continue
            self._watch.begins(job)
            self._running[self._executor.submit(run_job, job)] = job

    def _take_answer(self, job: Job, future: Future[Answer]) -> None:
        self._watch.ends(job)
        if not self._plan.results.is_dir():
            raise StoreError(f"the results folder {self._plan.results} was removed while the matrix ran")
        try:
            answer = future.result()
        except ExecutorLost:
            raise
        except WorkerDied as error:
            if self._starts_again(job, error):
                return
            answer = self._answer_of_killed(job, error)
        except Exception as error:  # it never began, e.g. because a worker has another version
            fail(job, error, "unknown", None)
            answer = Answer("failed", f"{type(error).__name__}: {error}")
        if answer.status == "unwritable":
            raise StoreError(answer.text)
        if answer.status in ("busy", "lost"):
            self._held_by_others[job.key] = job
        elif answer.status == "failed":
            self._fail(job, answer.text)
        elif job.train:
            self._release(job)
        else:
            self._finish(job, answer)

    def _starts_again(self, job: Job, error: WorkerDied) -> bool:
        """Whether a job gets another worker: `RETRIES` times, in case something else killed the first one."""
        if isinstance(error, DiedOften | NotStarted) or self._is_done(job):
            return False
        self._killed[job.key] += 1
        if self._killed[job.key] > RETRIES:
            return False
        self._watch.note(f"{job.title}: {error} Begun anew, {self._killed[job.key]} of {RETRIES} times.")
        self._ready.append(job)
        return True

    def _answer_of_killed(self, job: Job, error: WorkerDied) -> Answer:
        if self._is_done(job):  # killed between its record and its answer
            return Answer("there")
        holding = self._claims.find(job.key)
        fail(job, error, holding.who if holding is not None else "unknown", None)
        times = self._killed[job.key]
        return Answer("failed", f"{error}" + (f" It was begun {times} times." if times > 1 else ""))

    def _finish(self, job: Job, answer: Answer) -> None:
        if answer.run is not None:
            self._outcome.runs.append(answer.run)
        if answer.status == "there":
            self._outcome.skipped.append(job.cell)
            self._watch.counts(job.cell, "finished by another runner")
            return
        self._outcome.finished.append(job.cell)
        self._plan.seconds.add(job.cell, answer.seconds)
        self._watch.counts(job.cell, answer.text)

    def _release(self, training: Job) -> None:
        """The cells that waited for a network come next; with several workers, after other trainings."""
        place = 0 if self._at_once == 1 else sum(job.train for job in self._ready)
        self._ready[place:place] = self._blocked.pop(training.id, [])

    def _fail(self, job: Job, why: str) -> None:
        self._outcome.failures.append((job.title, why))
        if is_out_of_memory(why):
            self._outcome.starved.add("training" if job.train else "cell")
        lost: Iterable[Job] = self._blocked.pop(job.id, []) if job.train else [job]
        for each in lost:
            self._watch.counts(each.cell, "failed", failed=True)

    def _look_at_others(self) -> None:
        """Count what other runners have finished, and take over what they gave up."""
        for key, job in list(self._held_by_others.items()):
            holding = self._claims.find(key)
            if holding is not None and not holding.stale:
                continue
            del self._held_by_others[key]
            failure, before = self._failures.get(job.id), self._failed_before[key]
            if self._is_done(job):
                self._watch.ends(job)
                self._release(job) if job.train else self._finish(job, Answer("there"))
            elif failure is not None and failure != before:  # clocks of two machines may tell nothing
                self._fail(job, failure.why)
            else:
                self._ready.insert(0, job)

    def _is_done(self, job: Job) -> bool:
        if job.train:
            return AnnStore(job.results).path_of(job.cell.ann).is_file()
        return self._store.has(job.id)
