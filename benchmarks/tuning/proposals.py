"""What to try next, from what was tried before.

A proposal is a pure function of the settings and of the history: the sampler is made anew for every trial,
from a seed of its own. So a study that was killed and goes on proposes what it would have proposed
anyway, and the same seed gives the same study.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.errors import TuningError
from benchmarks.tuning.space import Refused, Space, Values
from benchmarks.tuning_spec import TuningSpec

ATTEMPTS = 200  # proposals that may be refused in a row
GUIDED_ATTEMPTS = 10  # proposals of the sampler for one trial, before chance takes over
GUIDED_REPEATS = 2  # proposals of the sampler that repeat a trial, before chance takes over
MOST_REPEATS = 20  # proposals that repeat a trial, before one of them is taken
SMALLEST = 1e-12  # below which divergences count as equal


@dataclass(frozen=True)
class Proposal:
    """Parameters to try."""

    values: Values
    given: bool  # one of those that every study starts with


def propose(
    space: Space, settings: TuningSpec, history: Sequence[FrozenTrial], number: int, maximise: bool
) -> Proposal:
    """Parameters of the trial of this number, counted over trials that did not fail.

    The space's first values come first, then random ones up to the number of startup trials, then
    what the sampler proposes. What the space refuses, and what was tried before, is proposed again, from
    another seed and in the end at random; only where everything seems to have been tried it is repeated.

    Args:
        space: what to search.
        settings: sampler and seed.
        history: finished and running trials.
        number: from 0.
        maximise: whether more is better.

    Raises:
        TuningError: everything that was proposed was refused; says why.
    """
    first = space.first
    if number < len(first):
        return Proposal(first[number], True)
    guided = number >= max(settings.startup_trials, len(first))
    seen = [_as_sampler_sees(trial, history, settings, maximise) for trial in history]
    tried = [trial.params for trial in history]
    reasons: list[str] = []
    repeats = 0
    for attempt in range(ATTEMPTS):
        # A surrogate that is sure of its optimum proposes it again and again.
        by_chance = not guided or repeats >= GUIDED_REPEATS or attempt >= GUIDED_ATTEMPTS
        sampler = _sampler(None if by_chance else settings, _seed(settings.seed, number, attempt))
        study = optuna.create_study(direction="maximize" if maximise else "minimize", sampler=sampler)
        for trial in seen:
            study.add_trial(trial)
        asked = study.ask()
        try:
            space.suggest(asked)
        except Refused as refusal:
            reasons.append(str(refusal))
            if settings.sampler == "tpe":  # it learns from what was pruned
                study.tell(asked, state=TrialState.PRUNED)
                seen.append(study.trials[-1])
            continue
        if asked.params in tried and repeats < MOST_REPEATS:
            repeats += 1
            continue
        return Proposal(dict(asked.params), False)
    raise TuningError(
        f"none of {ATTEMPTS} proposals may be tried, the last because: {reasons[-1]}; loosen the constraint"
    )


def hide_optuna_reports() -> None:
    """Optuna reports every trial, and features it would rather have; its errors still come through."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _sampler(settings: TuningSpec | None, seed: int) -> optuna.samplers.BaseSampler:
    if settings is None or settings.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if settings.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, multivariate=True, group=True)
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=1, warn_independent_sampling=False)


def _seed(seed: int, number: int, attempt: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}/{attempt}".encode()).digest()[:4])


def _as_sampler_sees(
    trial: FrozenTrial, history: Sequence[FrozenTrial], settings: TuningSpec, maximise: bool
) -> FrozenTrial:
    """The trial for a sampler's own study.

    Divergences count by their logarithm, so that the surrogate resolves small ones. The Gaussian
    process ignores pruned trials and would propose the same values again; it sees them finish like the
    trial that was next behind them where they stopped, or else like the last of all.
    """
    state, value = trial.state, trial.value
    if state is TrialState.PRUNED and settings.sampler == "gp":
        expected = _expected(trial, history, -1 if maximise else 1)
        if expected is not None:
            state, value = TrialState.COMPLETE, expected
    scaled = value if value is None or settings.objective == "metric" else math.log(max(value, SMALLEST))
    reports = trial.intermediate_values
    if settings.objective == "kl":
        reports = {t: math.log(max(reported, SMALLEST)) for t, reported in reports.items()}
    return create_trial(
        state=state,
        value=scaled if state is TrialState.COMPLETE or reports else None,
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values=reports,
    )


def _expected(trial: FrozenTrial, history: Sequence[FrozenTrial], sign: int) -> float | None:
    """Final value to expect of a trial that stopped early; None where none has finished.

    Args:
        trial: the pruned one; without read-outs, it is expected to be last.
        history: all trials.
        sign: 1 where less is better, else -1.
    """
    finished = [t for t in history if t.state is TrialState.COMPLETE]
    finals = {t.number: t.value for t in finished if t.value is not None}
    if not finals:
        return None
    step = trial.last_step
    if step is not None:
        here = sign * trial.intermediate_values[step]
        there = [(sign * t.intermediate_values[step], t) for t in finished if step in t.intermediate_values]
        behind = [(reading, t.number) for reading, t in there if reading >= here]
        if behind:
            return finals[min(behind)[1]]
    return sign * max(sign * value for value in finals.values())
