"""One study on disk: trials that survive a kill, shared by any number of workers.

    <folder>/<study>.journal          every event of the study, appended
    <folder>/<study>.append.lock      held while an event is appended
    <folder>/<study>.lock             held while a worker decides what to try next
    <folder>/<study>.worker-ID.lock   held by a worker for as long as it lives

The operating system frees the locks of a process that dies, however it dies: that is how others know
that its trial will never finish. Such a trial is set to failed and counts for nothing. What becomes of a
damaged journal is said in `journal_file`.
"""

from __future__ import annotations

import math
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState

from benchmarks.errors import TuningError
from benchmarks.tuning.journal_file import held, open_storage
from benchmarks.tuning.proposals import Proposal
from benchmarks.tuning.space import Space

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
WORKER = "worker"
GIVEN = "given"
READ_AT = "t"  # time step that a trial was read out at
DECIDING = 600.0  # seconds to wait for others that decide what to try next

_WORKER_NAME = re.compile(r"\d{1,20}-[0-9a-f]{8}")

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
        self._turn = FileLock(folder / f"{name}.lock", timeout=DECIDING)
        self._alive = FileLock(self._lock_of(self._worker))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with held(self._turn):
                self.study = optuna.create_study(
                    storage=open_storage(self._path, folder / f"{name}.append.lock"),
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
        with held(self._turn):
            self._sweep()
            self._alive.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._alive.release()
        with held(self._turn):
            self._sweep()

    @property
    def finished(self) -> list[FrozenTrial]:
        """Trials that count, in the order in which they began."""
        return [trial for trial in self.study.get_trials(deepcopy=False, states=FINISHED) if _is_whole(trial)]

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
        with held(self._turn):
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
        return trial.state is TrialState.RUNNING or (trial.state in FINISHED and _is_whole(trial))

    def _fail_orphans(self) -> None:
        """Set running trials whose worker is gone to failed."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = str(trial.user_attrs.get(WORKER))  # None: it died before it could say
            alive = _WORKER_NAME.fullmatch(worker) is not None and (
                worker == self._worker or _is_held(self._lock_of(worker))
            )
            if not alive:
                self.study.tell(trial.number, state=TrialState.FAIL)

    def _lock_of(self, worker: str) -> Path:
        return self._path.with_suffix(f".worker-{worker}.lock")


def _is_whole(trial: FrozenTrial) -> bool:
    """Whether all is known of a trial that its state promises."""
    if trial.state is not TrialState.COMPLETE:
        return True
    value, read_at = trial.values, trial.user_attrs.get(READ_AT)
    return value is not None and math.isfinite(value[0]) and isinstance(read_at, int)


def _is_held(path: Path) -> bool:
    """Whether some process, perhaps this one, holds a lock."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # it cannot be tried: better to wait than to take its trial away
        return True
