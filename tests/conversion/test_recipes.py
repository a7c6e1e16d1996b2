import pytest
import torch

from conversion import Recipe, recipe_from, recipe_names
from conversion.errors import RecipeError
from conversion.initial import Fraction, Zero
from conversion.neurons import Burst, IntegrateAndFire, SpikeCalibrated
from conversion.neurons.quantiser import Quantiser
from conversion.pooling import Gate, LateralInhibition
from conversion.recipes import preset
from conversion.scales import Maximum, Percentile

PRESETS = {
    "maxnorm": (Maximum(), IntegrateAndFire(), Zero(), Gate(), "binary"),
    "percentile": (Percentile(0.999), IntegrateAndFire(), Zero(), Gate(), "binary"),
    "opi": (Percentile(0.999), IntegrateAndFire(), Fraction(0.5), Gate(), "binary"),
    "burst": (Percentile(0.999), Burst(5), Zero(), LateralInhibition(), "multi-level"),
    "spicalib": (
        Percentile(0.999),
        SpikeCalibrated(5, 32, "fix"),
        Zero(),
        LateralInhibition(),
        "multi-level",
    ),
    "spicalib-bo": (
        Percentile(0.977),
        SpikeCalibrated(20, 64, "fix"),
        Zero(),
        LateralInhibition(),
        "multi-level",
    ),
    "ptq": (Percentile(0.999), Quantiser(), Zero(), Gate(), "baseline"),
}


def test_all_presets_are_known() -> None:
    assert set(PRESETS) <= set(recipe_names())


@pytest.mark.parametrize("name", PRESETS)
def test_preset(name: str) -> None:
    recipe = recipe_from(name)
    found = (recipe.scale, recipe.neuron, recipe.initial, recipe.pooling, recipe.group)
    assert found == PRESETS[name]
    assert recipe.label == recipe.name == name
    assert recipe.summary
    assert recipe.paper


def test_overrides_change_only_what_they_name() -> None:
    recipe = recipe_from({"preset": "burst", "neuron": {"gamma": 10}, "scale": {"p": 0.98}})
    assert recipe.neuron == Burst(10)
    assert recipe.scale == Percentile(0.98)
    assert recipe.pooling == LateralInhibition()
    assert recipe_from("burst").neuron == Burst(5)


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ({"preset": "burst"}, "burst"),
        ({"preset": "burst", "neuron": {"gamma": 5}}, "burst"),
        ({"preset": "burst", "neuron": {"gamma": 10}}, "burst gamma=10"),
        ({"preset": "maxnorm", "initial": "fraction"}, "maxnorm fraction"),
        ({"preset": "maxnorm", "scale": {"name": "percentile", "p": 0.99}}, "maxnorm percentile p=0.99"),
        ({"preset": "maxnorm", "neuron": {"name": "burst", "gamma": 9}}, "maxnorm burst gamma=9"),
        ({"preset": "spicalib", "neuron": "burst"}, "spicalib burst"),
        ({"preset": "opi", "scale": {"p": 0.99}, "pooling": "per-step"}, "opi p=0.99 per-step"),
        ({"preset": "opi", "scale": {"p": 0.99}, "label": "mine"}, "mine"),
    ],
    ids=str,
)
def test_label_shows_every_override(spec: dict, label: str) -> None:
    recipe = recipe_from(spec)
    assert recipe.label == label
    assert recipe.name == spec["preset"]


@pytest.mark.parametrize("label", [["a"], {"a": 1}, True, "a" * 501])
def test_a_label_is_a_short_text(label: object) -> None:
    with pytest.raises(RecipeError, match=r"recipe 'burst': label .*write"):
        recipe_from({"preset": "burst", "label": label})


def test_group_follows_what_a_neuron_sends() -> None:
    assert recipe_from({"preset": "burst", "neuron": {"gamma": 1}}).group == "binary"
    assert recipe_from({"preset": "maxnorm", "neuron": "spike-calibrated"}).group == "multi-level"
    assert recipe_from({"preset": "maxnorm", "pooling": "lateral-inhibition"}).group == "binary"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("spikalib", "unknown recipe 'spikalib'; did you mean 'spicalib'"),
        ({"neuron": "burst"}, "unknown recipe 'None'"),
        (
            {"preset": "burst", "neurons": "burst"},
            "recipe 'burst' has no choice 'neurons'; did you mean 'neuron'",
        ),
        ({"preset": "burst", "neuron": {"gama": 1}}, "has no parameter 'gama'; did you mean 'gamma'"),
        ({"preset": "opi", "pooling": "gaet"}, "unknown pooling 'gaet'; did you mean 'gate'"),
        ({"preset": "opi", "scale": {"p": 99.9}}, r"scale 'percentile': p is a share in \(0, 1\], got 99.9"),
    ],
    ids=str,
)
def test_mistakes_are_named(spec, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_from(spec)


def test_recipes_pass_through_and_names_are_taken_once() -> None:
    recipe = Recipe("mine", "summary", "paper", neuron=Burst(2))
    assert recipe_from(recipe) is recipe
    assert recipe.label == "mine"
    assert recipe.parts()["neuron"] == {"name": "burst", "gamma": 2}
    with pytest.raises(ValueError, match="recipe 'burst' is registered twice"):
        preset(Recipe("burst", "summary", "paper"))


def test_caller_keeps_the_mapping() -> None:
    spec = {"preset": "burst", "neuron": {"name": "burst", "gamma": 3}}
    recipe_from(spec)
    assert spec == {"preset": "burst", "neuron": {"name": "burst", "gamma": 3}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (5, "a recipe is a preset's name, a mapping or a Recipe, got 5"),
        (torch.zeros(3, 8, 8), "a mapping or a Recipe, got images, which come after it$"),
        (list(range(999)), r"a mapping or a Recipe, got \[0, 1, 2, 3, 4, 5, \.\.\.\]$"),
        ({"preset": ["opi"]}, "unknown recipe"),
        ({"preset": "opi", "neuron": 5}, "neuron must be a name or a mapping of parameters, got 5"),
    ],
)
def test_a_recipe_of_the_wrong_type_is_a_recipe_error(spec, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_from(spec)
