"""Searching over recipes: what the constraint allows, and nothing else."""

import optuna
import pytest
import torch
from torch import nn

from benchmarks.errors import TuningError
from benchmarks.tuning.auto import AutoSpace, Constraint
from benchmarks.tuning.space import Refused
from conversion import prepare, recipe_from


@pytest.fixture(scope="module")
def prepared():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    return prepare(network.eval(), torch.rand(8, 1, 6, 6))


def drawn(space, count=60):
    """Recipes of random trials, and the reasons of those that were refused."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    recipes, reasons = [], []
    for _ in range(count):
        try:
            recipes.append(space.suggest(study.ask()))
        except Refused as refusal:
            reasons.append(str(refusal))
    return recipes, reasons


def test_what_is_suggested_keeps_to_the_constraint(prepared):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = AutoSpace(prepared, Constraint(("signed",), max_per_step=3), 12)
    recipes, reasons = drawn(space)
    assert recipes
    assert reasons
    for recipe in recipes:
        assert recipe.neuron.alphabet in ("binary", "signed")
        assert recipe.neuron.max_per_step <= 3
        assert 1 <= prepared.plan(recipe).steps_run(space.time_steps(recipe)) <= 12


def test_the_read_out_is_the_largest_that_fits(prepared):
    space = AutoSpace(prepared, Constraint(), 12)
    recipes, _ = drawn(space)
    for recipe in recipes:
        t = space.time_steps(recipe)
        assert t == 12 or prepared.plan(recipe).steps_run(t + 1) > 12
    assert len({space.time_steps(recipe) for recipe in recipes}) > 1  # delays and phases differ


def test_binary_spikes_rule_out_graded_pooling(prepared):
    binary = Constraint(("binary",))
    binary.check(recipe_from("opi"))
    with pytest.raises(Refused, match="'lateral-inhibition' sends sums of spikes"):
        binary.check(recipe_from({"preset": "opi", "pooling": "lateral-inhibition"}))
    with pytest.raises(Refused, match="'burst' sends burst spikes"):
        binary.check(recipe_from("burst"))
    with pytest.raises(Refused, match="up to 5 spikes a step"):
        Constraint(max_per_step=4).check(recipe_from("burst"))


def test_the_search_starts_from_recipes_that_are_allowed(prepared):
    listed = [recipe_from(name) for name in ("opi", "burst", "ptq", "opi")]
    space = AutoSpace(prepared, Constraint(max_per_step=2), 8, first=listed)
    assert len(space.first) == 1
    found = space.suggest(optuna.trial.FixedTrial(space.first[0]))
    assert found.parts() == listed[0].parts()


def test_choices_can_be_narrowed(prepared):
    search = {"scale": ["percentile"], "neuron": ["burst"], "correction": ["none"], "neuron.gamma": [3, 4]}
    recipes, _ = drawn(AutoSpace(prepared, Constraint(), 8, search), 20)
    assert {recipe.scale.name for recipe in recipes} == {"percentile"}
    assert {recipe.neuron.gamma for recipe in recipes} == {3, 4}
    with pytest.raises(TuningError, match="unknown scale 'percentil'; did you mean 'percentile'"):
        AutoSpace(prepared, Constraint(), 8, {"scale": ["percentil"]})


def test_a_constraint_reads_as_words():
    assert str(Constraint(("signed",), 4, 16, 0.5)) == "signed, max 4 a step, t_total 16, energy 0.5"
    assert str(Constraint()) == "no constraint"
