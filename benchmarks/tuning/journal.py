"""One study on disk: trials that survive a kill, shared by any number of workers.

    <folder>/<study>.journal          every event of the study, appended
    <folder>/<study>.append.lock      held while an event is appended
    <folder>/<study>.lock             held while a worker decides what to try next
    <folder>/<study>.worker-ID.lock   held by a worker for as long as it lives

The operating system frees the locks of a process that dies, however it dies: that is how others know
that its trial will never finish. Such a trial is set to failed and counts for nothing.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from benchmarks.errors import TuningError
from benchmarks.tuning.proposals import Proposal
from benchmarks.tuning.space import Space

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
WORKER = "worker"
GIVEN = "given"

Proposer = Callable[[list[FrozenTrial], int], Proposal]


class Journal:
    """A study of a fixed number of trials; use as a context, which is one worker.

    Args:
        folder: where its files lie; created where it is missing.
        name: of the study and its files.
        trials: how many finished trials it ends with; pruned ones count, failed ones do not.
        maximise: whether more is better.
        pruner: decides from read-outs which trials stop early.

    Raises:
        TuningError: the folder cannot be written.
    """

    def __init__(
        self, folder: Path, name: str, trials: int, maximise: bool, pruner: optuna.pruners.BasePruner
    ) -> None:
        self._path = folder / f"{name}.journal"
        self._wanted = trials
        self._worker = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._turn = FileLock(folder / f"{name}.lock")
        self._alive = FileLock(self._lock_of(self._worker))
        appending: Any = _AppendLock(folder / f"{name}.append.lock")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._turn:
                self.study = optuna.create_study(
                    storage=JournalStorage(JournalFileBackend(str(self._path), appending)),
                    study_name=name,
                    load_if_exists=True,
                    direction="maximize" if maximise else "minimize",
                    sampler=optuna.samplers.RandomSampler(seed=0),  # never asked: values come from proposals
                    pruner=pruner,
                )
        except OSError as error:
            raise TuningError(
                f"cannot write the study {self._path}: {error}. Choose another folder with --results DIR."
            ) from error

    def __enter__(self) -> Journal:
        with self._turn:
            self._sweep()
            self._alive.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        with self._turn:
            self._alive.release()
            self._sweep()

    @property
    def finished(self) -> list[FrozenTrial]:
        """Trials that count, in the order in which they began."""
        return self.study.get_trials(deepcopy=False, states=FINISHED)

    @property
    def complete(self) -> bool:
        """Whether all trials are finished."""
        return len(self.finished) >= self._wanted

    def begin(self, space: Space, proposer: Proposer) -> optuna.Trial | None:
        """The next trial, with its parameters chosen; None where all trials are finished or running.

        Args:
            space: what is searched.
            proposer: parameters from finished and running trials, and how many they are.
        """
        with self._turn:
            self._fail_orphans()
            history = [trial for trial in self.study.get_trials(deepcopy=False) if self._counts(trial)]
            if len(history) >= self._wanted:
                return None
            if not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                proposal = proposer(history, len(history))
                self.study.enqueue_trial(proposal.values, user_attrs={GIVEN: proposal.given})
            trial = self.study.ask()  # takes what is waiting
            trial.set_user_attr(WORKER, self._worker)
            space.suggest(trial)
            return trial

    def _sweep(self) -> None:
        """Remove the locks of workers that are gone."""
        for left in self._path.parent.glob(f"{self._path.stem}.worker-*.lock"):
            if not _is_held(left):
                left.unlink(missing_ok=True)

    def _counts(self, trial: FrozenTrial) -> bool:
        return trial.state in FINISHED or trial.state is TrialState.RUNNING

    def _fail_orphans(self) -> None:
        """Set running trials whose worker is gone to failed."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = trial.user_attrs.get(WORKER)  # None: it died before it could say
            if worker is None or not (worker == self._worker or _is_held(self._lock_of(worker))):
                self.study.tell(trial.number, state=TrialState.FAIL)

    def _lock_of(self, worker: str) -> Path:
        return self._path.with_suffix(f".worker-{worker}.lock")


class _AppendLock:
    """Optuna's locks outlive a process that is killed by half a minute; this one does not."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._lock.acquire()
        return True

    def release(self) -> None:
        """Let others append."""
        self._lock.release()


def _is_held(path: Path) -> bool:
    """Whether some process, perhaps this one, holds a lock."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
