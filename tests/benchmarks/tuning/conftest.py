"""A subject without a network: an objective whose optimum is known, in place of a simulation."""

import time
from types import SimpleNamespace

import pytest

from benchmarks.tuning.objective import TrialReading
from benchmarks.tuning.proposals import hide_optuna_reports
from benchmarks.tuning.space import RecipeSpace
from benchmarks.tuning.study import run_study
from benchmarks.tuning_spec import TuningSpec
from conversion import recipe_from

OPTIMUM = {"scale.p": 0.973, "initial.fraction": 0.31}
SEARCH = {"scale.p": [0.95, 1.0], "initial.fraction": [0.0, 1.0]}


def loss(recipe):
    """0.001 at the optimum, a parabola around it."""
    p, fraction = recipe.scale.p, recipe.initial.fraction
    return 0.001 + ((p - OPTIMUM["scale.p"]) / 0.05) ** 2 + (fraction - OPTIMUM["initial.fraction"]) ** 2


class Parabola:
    """Stands for a network: `at(recipe, t)` is its objective at a read-out."""

    measure = "kl"
    images = 10
    seconds_per_forward = 0.01
    clock = staticmethod(time.monotonic)

    def __init__(self, maximise=False, at=None, seconds=0.0, energy=lambda t: 0.0):
        self.maximise = maximise
        self.asked = []
        self._at = at or (lambda recipe, t: loss(recipe))
        self._seconds = seconds
        self._energy = energy

    def readings(self, recipe, t):
        self.asked.append(recipe)
        for now in sorted({*(2**i for i in range(t.bit_length()) if 2**i < t), t}):
            time.sleep(self._seconds)
            value = self._at(recipe, now)
            yield TrialReading(
                now, now, -value if self.maximise else value, now * self.images, self._energy(now)
            )


def settings_of(**changes):
    base = {"trials": 12, "startup_trials": 4, "t": 8, "sampler": "random", "prune": False, "search": SEARCH}
    return TuningSpec(**{**base, **changes})


def study_of(folder, subject=None, most_energy=None, **changes):
    """Run a study of the preset opi in a folder."""
    hide_optuna_reports()
    settings = settings_of(**changes)
    space = RecipeSpace(recipe_from("opi"), settings.t, settings.search)
    subject = subject or Parabola()
    return run_study(
        "study", folder, space, subject, settings, lambda recipe: settings.t, most_energy=most_energy
    )


@pytest.fixture(scope="session")
def lab():
    """Everything above."""
    return SimpleNamespace(
        Parabola=Parabola, loss=loss, study=study_of, settings=settings_of, optimum=OPTIMUM, search=SEARCH
    )
