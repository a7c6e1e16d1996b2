import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from benchmarks.commands import descriptions
from benchmarks.commands.describing import described, everything, needs, parameters, parse
from benchmarks.commands.descriptions import CATALOGUE, Description, known_recipe, show, show_known
from conversion import RecipeError, recipe_from, recipe_names
from conversion.neurons import SpikeCalibrated
from conversion.recipes import KINDS
from conversion.scales import Percentile
from leaderboard import load_published
from lightning_modules import networks


def printed(function, *arguments, width=100):
    console = Console(file=io.StringIO(), width=width, force_terminal=False, no_color=True)
    function(*arguments, console)
    return console.file.getvalue()


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_described(name):
    recipe = recipe_from(name)
    text = printed(show, described(recipe))
    assert text.startswith(f"{name}\n")
    for kind in KINDS:
        part = getattr(recipe, kind)
        assert f"{kind}: {part.name}\n" in text
        for key, value in part.as_dict().items():
            shown = tuple(value) if isinstance(value, list) else value
            assert key == "name" or f"{key} = {shown}" in text
    assert "  \n\n\n" not in text


def test_the_catalogue_is_what_the_code_says():
    now = json.loads(json.dumps(everything()))
    kept = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    changed = [f"{kind}: {name}" for kind in now for name in now[kind] | kept[kind]
               if now[kind].get(name) != kept[kind].get(name)]  # fmt: skip
    assert changed == [], "run python -m benchmarks.commands.describing"


def test_the_catalogue_gives_back_what_was_put_in():
    recipe = described(recipe_from("spicalib"))
    assert Description.of(recipe.as_data()) == recipe == known_recipe("spicalib")
    assert known_recipe("{preset: burst}") is None


def test_where_a_package_adds_recipes_all_are_asked_anew(monkeypatch):
    monkeypatch.setattr(descriptions, "entry_points", lambda group: [group] if "recipes" in group else [])
    assert known_recipe("spicalib") is None
    assert descriptions.catalogue("networks")


HEAVY = {"torch", "torchvision", "scipy", "pandas", "matplotlib", "optuna", "pytorch_lightning", "wandb"}


def loaded_by(tmp_path, *words):
    """What a command prints, and which of `HEAVY` it loads."""
    code = (
        "import sys; from benchmarks.cli import main\n"
        f"try: main()\nfinally: print('loaded:', *({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    said = done.stderr.partition("loaded:")
    assert said[1], done.stderr
    return done.returncode, done.stdout + said[0], set(said[2].split())


@pytest.mark.parametrize("what", ["recipes", "networks", "datasets", "matrices", "energy"])
def test_listing_loads_nothing_heavy(what, tmp_path):
    code, text, heavy = loaded_by(tmp_path, "list", what)
    assert (code, heavy) == (0, set())
    assert len(text) > 100


@pytest.mark.parametrize("words", [["--help"], ["describe", "--help"], ["run", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(words, tmp_path):
    assert loaded_by(tmp_path, *words)[::2] == (0, set())


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("spicalib", 0, "spike-calibrated"),
        ("custom", 0, "neuron: "),
        ("resnet20", 0, "resnet20: a network. ResNet-20"),
        ("coco", 0, "coco: a data set. COCO 2017"),
        ("spicalip", 1, "did you mean 'spicalib'?"),
        ("nosuch", 1, "unknown recipe 'nosuch'. Valid: adafire"),
    ],
)
def test_describing_by_name_loads_nothing_heavy(name, code, said, tmp_path):
    found, text, heavy = loaded_by(tmp_path, "describe", name)
    assert (found, heavy) == (code, set())
    assert said in " ".join(text.split())


def test_names_and_mappings_are_read_as_matrices_have_them():
    assert parse("burst") == recipe_from("burst")
    mapping = parse("{preset: burst, neuron: {gamma: 10}, label: tens}")
    assert (mapping.label, mapping.neuron.gamma) == ("tens", 10)
    for wrong in ("{preset: burst", "[burst]", "{neuron: burst}", ""):
        with pytest.raises(RecipeError):
            parse(wrong)


def test_parameters_show_value_default_and_range():
    lines = parameters(SpikeCalibrated(gamma=10))
    assert lines[0] == ("  gamma = 10", "default 5", "searched from 1 to 40")
    assert lines[2] == ("  variant = fix", "", "one of fix, cons, code")
    p, per_channel = parameters(Percentile())
    assert p == ("  p = 0.999", "", "searched from 0.9 to 1.0")
    assert per_channel == ("  per_channel = False", "", "")


def test_needs_are_read_off_the_parts():
    plain = needs(recipe_from("opi"))
    assert plain["T beforehand"] == "not needed"
    assert plain["steps before"] == "none"
    assert plain["input"] == "step by step"
    assert plain["spikes"] == "binary, up to 1 threshold a step"
    assert needs(recipe_from({"preset": "opi", "initial": "shift"}))["T beforehand"] == (
        "yes, fitted for each T (initial)"
    )
    assert needs(recipe_from("srp"))["steps before"].startswith("4 before")
    assert needs(recipe_from("srp"))["ANN"] == "trained with an activation made for conversion"
    assert needs(recipe_from("dcgs"))["steps before"].startswith("1 before")
    assert needs(recipe_from("delay-spike"))["input"].startswith("the whole window")
    assert "latency" not in plain
    assert "a spike" not in plain
    shrinking = needs(recipe_from("spikemark-shrinking"))
    assert shrinking["a spike"].startswith("depends on the step, by powers of two")
    assert shrinking["input"] == needs(recipe_from("suhd"))["input"] == "step by step, fitted to T"
    assert needs(recipe_from("parallel"))["latency"] == (
        "at T = 16, 160 steps for 10 layers that wait for each other; pipelined, an answer every 16"
    )
    assert "176 steps for 10 layers that wait" in needs(recipe_from("tdif"))["latency"]
    assert needs(recipe_from("ptq"))["spikes"] == "none"
    assert plain["limit"] == "clips activations above their quantile 0.999"
    assert needs(recipe_from("maxnorm"))["limit"] == "the ANN"
    assert "largest T" not in plain
    assert needs(recipe_from("tdif"))["largest T"] == "127"
    assert needs(recipe_from("burst"))["calibration"].endswith("of a matrix)")
    assert needs(recipe_from("ltb"))["calibration"].endswith("the network runs on them to fit its scale")
    assert "runs" not in needs(recipe_from("qcfs"))["calibration"]


def test_what_is_not_measured_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("leaderboard.reference.shipped.HERE", tmp_path)
    text = printed(show_known, "cos", tmp_path)
    assert "Not measured yet" in text
    assert "74.17" in text  # published: ImageNet, ResNet-34, T = 8
    assert "Published" not in printed(show_known, "custom", tmp_path)


def test_published_recipes_are_ours_and_networks_are_ours_or_known_not_to_be():
    foreign = {"mobilenet", "mobilenet_v2", "tiny_yolo", "retinanet_resnet50_fpn", "fcos_resnet50_fpn"}
    foreign |= {"vit_small_patch16"}
    foreign |= {f"{head}_resnet{depth}" for head in ("fcn", "deeplab") for depth in (18, 34, 50)}
    presets = set(recipe_names())
    for curve in load_published():
        assert curve.recipe in presets
        assert curve.network in {*networks.names(), *foreign, None}
        assert curve.group in (recipe_from(curve.recipe).group, "retrained")
