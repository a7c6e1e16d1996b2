"""Run one study: trials until the budget is spent, each pruned when its early read-outs are behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from benchmarks.errors import TuningError
from benchmarks.tuning.journal import GIVEN, READ_AT, Journal
from benchmarks.tuning.objective import TrialReading, TuningSubject
from benchmarks.tuning.proposals import Proposal, propose
from benchmarks.tuning.space import Refused, Space, Values
from benchmarks.tuning_spec import TuningSpec
from conversion import ConversionError, Recipe

# What is kept of a trial beside its values and read-outs.
SECONDS, FORWARDS, IMAGE_STEPS = "seconds", "ann_forwards", "image_steps"
REFUSED, REPEATS = "refused", "repeats"
WAIT = 0.5  # seconds between looks at what other workers do

TrialHook = Callable[[int, int], None]  # (trials finished, trials in all)


@dataclass(frozen=True)
class Found:
    """What a study found; trials in the order in which they began."""

    recipe: Recipe  # with the best values
    values: Values
    best: float  # value of the objective
    default: float | None  # at the recipe's own values
    t: int  # read-out of the best trial
    trials: list[FrozenTrial]
    study: optuna.Study

    def total(self, measured: str) -> float:
        """Sum of a measurement over all trials."""
        return sum(float(trial.user_attrs.get(measured, 0.0)) for trial in self.trials)

    @property
    def pruned(self) -> int:
        """Trials that were stopped early."""
        return sum(trial.state is TrialState.PRUNED for trial in self.trials)


def pruner_of(settings: TuningSpec, t: int) -> optuna.pruners.BasePruner:
    """Stops a trial whose best read-out so far is behind the median of finished trials there.

    Read-outs are compared by every step that ran, phases before them among them. None is compared before
    t/2: what is ahead of that is mostly the transient, where low thresholds and full membranes mislead.
    """
    if not settings.prune:
        return optuna.pruners.NopPruner()
    warmup = max(t // 2, 1)
    return optuna.pruners.MedianPruner(n_startup_trials=settings.startup_trials, n_warmup_steps=warmup)


def run_study(
    name: str,
    folder: Path,
    space: Space,
    subject: TuningSubject,
    settings: TuningSpec,
    t_of: Callable[[Recipe], int],
    report: TrialHook = lambda done, total: None,
    most_energy: float | None = None,
) -> Found:
    """Run a study to its end, beside other workers if there are any.

    Args:
        name: of the study; an unfinished study of that name goes on.
        folder: of its journal.
        space: what to search.
        subject: what is measured.
        settings: budget, sampler, seed.
        t_of: read-out of a recipe; may refuse it.
        report: told after every trial.
        most_energy: largest energy of a read-out relative to the ANN's; later read-outs do not count.

    Raises:
        TuningError: the recipe does not fit the network at its own values, or nothing else could be tried.
    """
    longest = settings.t or 1

    def proposer(history: list[FrozenTrial], number: int) -> Proposal:
        return propose(space, settings, history, number, subject.maximise)

    run = _StudyRun(space, subject, t_of, most_energy)
    pruner = pruner_of(settings, longest)
    with Journal(folder, name, settings.trials, subject.maximise, pruner) as journal:
        while not journal.complete:
            report(len(journal.finished), settings.trials)
            trial = journal.begin(space, proposer)
            if trial is None:
                time.sleep(WAIT)  # the last trials run elsewhere
                continue
            run.trial(journal, trial)
        report(len(journal.finished), settings.trials)
        return _found(journal, space)


@dataclass(frozen=True)
class _StudyRun:
    space: Space
    subject: TuningSubject
    t_of: Callable[[Recipe], int]
    most_energy: float | None

    def trial(self, journal: Journal, trial: optuna.Trial) -> None:
        """Measure one trial and say how it ended."""
        earlier = _same(journal.finished, trial.params)
        if earlier is not None:
            _repeat(journal.study, trial, earlier)
            return
        started, worked = time.monotonic(), self.subject.clock()
        try:
            last, is_pruned = self._measure(trial)
        except (ConversionError, Refused) as error:
            if trial.user_attrs[GIVEN] and not self.space.conditional:
                raise TuningError(f"the recipe cannot be tuned: {error}") from error
            trial.set_user_attr(REFUSED, " ".join(str(error).split()))
            last, is_pruned = None, True
        trial.set_user_attr(SECONDS, time.monotonic() - started)
        trial.set_user_attr(FORWARDS, (self.subject.clock() - worked) / self.subject.seconds_per_forward)
        if last is not None:
            trial.set_user_attr(IMAGE_STEPS, last.image_steps)
            trial.set_user_attr(READ_AT, last.t)
        if is_pruned or last is None:
            journal.study.tell(trial, state=TrialState.PRUNED)
        else:
            journal.study.tell(trial, last.value)

    def _measure(self, trial: optuna.Trial) -> tuple[TrialReading, bool]:
        """The read-out that counts, and whether the trial stopped there because it is behind."""
        recipe = self.space.suggest(trial)
        longest = self.t_of(recipe)
        spent = 0.0
        while True:
            last: TrialReading | None = None
            for reading in self.subject.readings(recipe, longest):
                if abs(reading.value) == float("inf"):
                    raise Refused(f"the network's outputs at t = {reading.t} are not finite")
                if self.most_energy is not None and reading.energy_ratio > self.most_energy:
                    break
                last = reading
                trial.report(reading.value, round(reading.t_total))
                if reading.t < longest and not trial.user_attrs[GIVEN] and trial.should_prune():
                    return last, True
            spent += reading.image_steps
            if last is not None:
                return replace(last, image_steps=spent), False
            if reading.t == 1:
                raise Refused(
                    f"energy {reading.energy_ratio:.2f} of the ANN's at t = 1, more than {self.most_energy:g}"
                )
            longest = reading.t // 2  # it could only be read out at one time step


def _same(finished: list[FrozenTrial], values: Mapping[str, object]) -> FrozenTrial | None:
    """A trial of the same values: measuring again would give the same."""
    return next((trial for trial in finished if trial.params == values), None)


def _repeat(study: optuna.Study, trial: optuna.Trial, earlier: FrozenTrial) -> None:
    for t, value in earlier.intermediate_values.items():
        trial.report(value, t)
    trial.set_user_attr(REPEATS, earlier.number)
    for name in (READ_AT, REFUSED):
        if name in earlier.user_attrs:
            trial.set_user_attr(name, earlier.user_attrs[name])
    if earlier.state is TrialState.PRUNED:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, earlier.value)


def _found(journal: Journal, space: Space) -> Found:
    trials = journal.finished
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if not complete:
        raise TuningError(f"no trial of {len(trials)} came to an end: {_reasons(trials)}")
    maximise = journal.study.direction is optuna.study.StudyDirection.MAXIMIZE
    sign = -1 if maximise else 1
    best = min(complete, key=lambda trial: sign * _value(trial))  # the earliest among equals
    given = [_value(trial) for trial in complete if trial.user_attrs.get(GIVEN)]
    fixed = optuna.trial.FixedTrial(best.params)
    return Found(
        recipe=space.suggest(fixed),  # type: ignore[arg-type]
        values=dict(best.params),
        best=_value(best),
        default=min(given, key=lambda value: sign * value) if given else None,
        t=int(best.user_attrs[READ_AT]),
        trials=trials,
        study=journal.study,
    )


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _reasons(trials: list[FrozenTrial]) -> str:
    return "; ".join(sorted({str(trial.user_attrs.get(REFUSED, "pruned")) for trial in trials})[:3])
