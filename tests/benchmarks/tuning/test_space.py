"""Search spaces of one recipe, and the settings that shape them."""

import optuna
import pytest
from pydantic import ValidationError

from benchmarks.errors import TuningError
from benchmarks.tuning.space import RecipeSpace, Refused, all_parameters
from benchmarks.tuning_spec import TuningSpec
from conversion import recipe_from
from conversion.search import Choices, NumberRange


def test_a_recipe_is_searched_over_what_its_parts_declare():
    space = RecipeSpace(recipe_from("spicalib"), 32)
    assert space.ranges["scale.p"] == NumberRange(0.9, 1.0)
    assert space.ranges["scale.per_channel"] == Choices((False, True))
    assert space.ranges["neuron.gamma"] == NumberRange(1, 40, integer=True)
    assert space.ranges["neuron.allowance"] == NumberRange(2, 32, integer=True, log=True)
    assert set(space.ranges["neuron.variant"].values) == {"fix", "cons", "code"}


def test_the_search_starts_from_the_recipes_own_values():
    recipe = recipe_from({"preset": "burst", "neuron": {"gamma": 60}, "scale": {"p": 0.8}})
    space = RecipeSpace(recipe, 8)
    assert space.first[0]["neuron.gamma"] == 60
    assert space.ranges["neuron.gamma"] == NumberRange(2, 60, integer=True)  # widened to hold it
    assert space.ranges["scale.p"] == NumberRange(0.8, 1.0)
    assert space.suggest(optuna.trial.FixedTrial(space.first[0])) == recipe


def test_only_what_is_asked_for_is_searched():
    search = {"neuron.gamma": [2, 6], "scale.p": None}
    assert RecipeSpace(recipe_from("burst"), 8, search).ranges == {
        "neuron.gamma": NumberRange(2, 6, integer=True),
        "scale.p": NumberRange(0.9, 1.0),
    }
    assert set(RecipeSpace(recipe_from("opi"), 8, search).ranges) == {"scale.p"}


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"neuron.gama": None}, "nothing is called 'neuron.gama'; did you mean 'neuron.gamma'"),
        ({"neuron.gamma": [2.5, 6]}, "'neuron.gamma': both ends must be whole numbers"),
        ({"scale.p": [0.99, 0.9]}, r"'scale.p': a range is \[low, high\]"),
        ({"scale.p": ["low", "high"]}, r"'scale.p': a range is \[low, high\]"),
        (
            {"neuron.variant": ["fix", "best"]},
            "'neuron.variant': 'best' is no choice; valid: fix, cons, code",
        ),
    ],
)
def test_a_search_that_does_not_fit_is_refused_by_name(search, message):
    with pytest.raises(TuningError, match=message):
        RecipeSpace(recipe_from("spicalib"), 8, search)


def test_values_that_a_part_refuses_are_refused():
    space = RecipeSpace(recipe_from("opi"), 8)
    with pytest.raises(Refused, match="p is a share"):
        space.recipe({"scale.p": 1.5})


def test_every_parameter_has_a_name():
    assert {"scale.p", "neuron.gamma", "neuron.allowance", "initial.fraction"} <= all_parameters()


def test_the_setting_of_spicalib():
    spec = TuningSpec(preset="spicalib")
    assert (spec.sampler, spec.objective) == ("gp", "kl")
    assert spec.trials - spec.startup_trials == 30
    assert spec.startup_trials - 1 == 5  # the first is the recipe as it is
    assert spec.search["scale.p"] == [0.9, 1.0]
    assert set(spec.search) == {"scale.p", "neuron.gamma", "neuron.allowance"}


def test_what_is_given_beats_the_preset_and_options_beat_both():
    spec = TuningSpec(preset="spicalib", trials=9)
    assert (spec.trials, spec.startup_trials) == (9, 6)
    over = spec.overridden({"trials": 7, "sampler": None, "seed": 5})
    assert (over.trials, over.sampler, over.seed, over.startup_trials) == (7, "gp", 5, 6)
    assert TuningSpec().overridden({"preset": "spicalib"}).trials == 36


@pytest.mark.parametrize(
    ("field", "value"),
    [("sampler", "annealing"), ("objective", "loss"), ("trials", 0), ("preset", "opi"), ("trails", 3)],
)
def test_an_unknown_setting_is_refused_by_name(field, value):
    with pytest.raises(ValidationError, match=field):
        TuningSpec(**{field: value})
