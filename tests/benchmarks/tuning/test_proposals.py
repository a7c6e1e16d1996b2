"""What is tried next: first the given values, never what was refused, and nothing twice."""

import math

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from benchmarks.errors import TuningError
from benchmarks.tuning.proposals import _expected, hide_optuna_reports, propose
from benchmarks.tuning.space import Refused
from benchmarks.tuning_spec import TuningSpec


class Line:
    """One parameter from 0 to 1; `refuse` says what may not be tried."""

    conditional = False
    first = ({"x": 0.25},)

    def __init__(self, refuse=lambda x: False):
        self._refuse = refuse

    def suggest(self, trial):
        x = trial.suggest_float("x", 0.0, 1.0)
        if self._refuse(x):
            raise Refused(f"x = {x:.1f}")
        return x


class Coin:
    """Two values."""

    conditional = False
    first = ({"side": "heads"},)

    def suggest(self, trial):
        return trial.suggest_categorical("side", ["heads", "tails"])


def done(x, value, readings=None, state=TrialState.COMPLETE):
    return create_trial(
        state=state,
        value=value,
        params={"x": x},
        distributions={"x": FloatDistribution(0.0, 1.0)},
        intermediate_values=readings or {},
    )


@pytest.fixture(autouse=True)
def _quiet():
    hide_optuna_reports()


def settings(**changes):
    return TuningSpec(**{"sampler": "random", "startup_trials": 2, **changes})


def test_the_given_values_come_first():
    proposal = propose(Line(), settings(), [], 0, False)
    assert (proposal.values, proposal.given) == ({"x": 0.25}, True)
    assert not propose(Line(), settings(), [done(0.25, 1.0)], 1, False).given


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_what_the_space_refuses_is_never_proposed(sampler):
    space = Line(lambda x: x < 0.7)
    history = [done(0.25 + i / 10, 1 + i) for i in range(4)]  # the best values are refused
    for number in range(4, 8):
        assert propose(space, settings(sampler=sampler), history, number, False).values["x"] >= 0.7


def test_a_constraint_that_nothing_meets_is_named():
    with pytest.raises(TuningError, match=r"because: x = 0\.\d; loosen"):
        propose(Line(lambda x: True), settings(), [done(0.25, 1.0)], 1, False)


def test_what_was_tried_is_not_proposed_again():
    heads = optuna.trial.create_trial(
        value=1.0,
        params={"side": "heads"},
        distributions={"side": optuna.distributions.CategoricalDistribution(["heads", "tails"])},
    )
    for seed in range(8):
        assert propose(Coin(), settings(seed=seed), [heads], 1, False).values == {"side": "tails"}


def test_proposals_depend_on_nothing_but_their_arguments():
    history = [done(x / 10, (x / 10 - 0.4) ** 2 + 0.1) for x in range(6)]
    for sampler in ("random", "tpe", "gp"):
        chosen = [propose(Line(), settings(sampler=sampler), history, 6, False).values for _ in range(2)]
        assert chosen[0] == chosen[1]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_pruned_trial_is_expected_to_end_like_the_one_next_behind_it(sign):
    history = [
        done(0.1, sign * 1.0, {4: sign * 2.0}),
        done(0.2, sign * 3.0, {4: sign * 5.0}),
        done(0.3, sign * 9.0, {4: sign * 8.0}),
    ]
    for number, trial in enumerate(history):
        trial.number = number

    def stopped_at(reading):
        return done(0.5, None, {4: sign * reading}, TrialState.PRUNED)

    assert _expected(stopped_at(2.5), history, sign) == sign * 3.0
    assert _expected(stopped_at(5.0), history, sign) == sign * 3.0
    assert _expected(stopped_at(100.0), history, sign) == sign * 9.0
    assert _expected(done(0.5, None, {}, TrialState.PRUNED), history, sign) == sign * 9.0
    assert _expected(stopped_at(1.0), [], sign) is None


def test_a_gaussian_process_learns_from_pruned_trials():
    history = [done(x / 10, 1.0 + abs(x / 10 - 0.5), {4: 2.0 + abs(x / 10 - 0.5)}) for x in (0, 2, 8, 10)]
    history += [done(0.5 + i / 100, None, {4: 9.0}, TrialState.PRUNED) for i in range(-5, 6)]
    for number, trial in enumerate(history):
        trial.number = number
    proposed = propose(Line(), settings(sampler="gp"), history, len(history), False).values["x"]
    assert not 0.45 <= proposed <= 0.55  # where everything stopped
    assert math.isfinite(proposed)
