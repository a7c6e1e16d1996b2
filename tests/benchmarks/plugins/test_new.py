"""A package written by `spikemark new`, installed by pip, found, judged, and on the leaderboard."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

import spikemark_plugins
from benchmarks.cells import expand
from benchmarks.cli import main
from benchmarks.matrix import load
from benchmarks.plugins.new import write_package
from conversion import recipes
from conversion.parts import _REGISTRY
from datamodules import registry as datasets
from leaderboard.reference.shipped import load_shipped
from lightning_modules.networks import registry as networks

NAMES = {"recipe": "my-recipe", "network": "my_net", "dataset": "my_bars"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """All three packages as pip installs them, in a folder of their own."""
    folder = tmp_path_factory.mktemp("packages")
    packages = [write_package(kind, name, folder).folder for kind, name in NAMES.items()]
    install = ["install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target"]
    command = [sys.executable, "-m", "pip", *install, str(folder / "site"), *map(str, packages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def installed(site, monkeypatch):
    monkeypatch.syspath_prepend(str(site / "site"))
    monkeypatch.setattr(spikemark_plugins, "_opened", set())
    for module, name in ((recipes, "_PRESETS"), (networks, "_ENTRIES"), (datasets, "_CLASSES")):
        monkeypatch.setattr(module, name, dict(getattr(module, name)))
    yield site
    _REGISTRY["scale"].pop("my-recipe", None)
    for module in ("my_recipe", "my_net", "my_bars"):
        sys.modules.pop(module, None)


def test_all_three_together_reach_the_leaderboard(installed, tmp_path):
    matrix = yaml.safe_load((installed / "my-recipe" / "matrix.yaml").read_text())
    matrix |= {
        "datasets": [{"name": "my_bars", "size": 8}],
        "networks": [{"name": "my_net", "width": 4}],
        "recipes": ["opi", {"preset": "my-recipe", "scale": {"share": 0.5}}],
        "time_steps": [1, 4],
        "training": {"epochs": 1},
        "evaluation": {"calibration_images": 16, "test_images": 20},
        "tracking": {"wandb": "off"},
    }
    (tmp_path / "matrix.yaml").write_text(yaml.safe_dump(matrix))
    results = str(tmp_path / "results")
    ran = CliRunner().invoke(main, ["run", str(tmp_path / "matrix.yaml"), "--results", results])
    assert ran.exit_code == 0, ran.output
    board = CliRunner().invoke(main, ["leaderboard", "--results", results])
    assert "my-recipe share=0.5" in board.output
    assert "my_bars" in board.output
    record = next(
        record
        for path in (tmp_path / "results" / "records").glob("*.json")
        if (record := json.loads(path.read_text()))["method"]["name"] == "my-recipe"
    )
    assert record["provenance"]["versions"]["my-recipe"] == "0.1.0"


def test_a_recipe_trains_the_network_of_references(installed):
    """Then its rows stand among them, on one board: the template says of training what they say."""
    (matrix,) = installed.glob("my-recipe/matrix.yaml")
    cells = expand(load(matrix), None)
    references = [r for r in load_shipped(layers=False).records if r.method.ann_untouched]
    assert {json.dumps(cell.config["ann"], sort_keys=True) for cell in cells} <= {
        json.dumps(record.config["ann"], sort_keys=True) for record in references
    }


@pytest.mark.parametrize("kind", NAMES)
def test_each_keeps_its_contract(installed, kind):
    checked = CliRunner().invoke(main, ["check", NAMES[kind]])
    assert checked.exit_code == 0, checked.output
    assert checked.output.count(f"{kind}: ") == checked.output.count("kept") > 4


@pytest.mark.parametrize("kind", NAMES)
def test_its_own_test_runs_the_contract(installed, kind):
    module = NAMES[kind].replace("-", "_")
    (path,) = installed.glob(f"*/test_{module}.py")
    test = runpy.run_path(str(path))["test_keeps_the_contract"]
    (mark,) = test.pytestmark
    assert len(mark.args[1]) > 4
    test(mark.args[1][0])


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("recipe", "opi", "there is a recipe 'opi' already"),
        ("network", "My Net", "a name is small letters"),
        ("dataset", "torch", "there is a Python module 'torch' already"),
        ("recipe", "taken", "File exists; nothing that was there is changed"),
    ],
)
def test_names_that_cannot_be_used(tmp_path, kind, name, message):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    answer = CliRunner().invoke(main, ["new", kind, name, "--in", str(tmp_path)])
    assert answer.exit_code == 1
    assert message in answer.output
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine.txt", "taken"]


def test_a_broken_promise_is_an_error(monkeypatch):
    monkeypatch.setattr("benchmarks.contracts.recipes.LARGEST_ERROR", 0.0)
    answer = CliRunner().invoke(main, ["check", "opi"])
    assert answer.exit_code == 1
    assert "broken  recipe: With more time steps" in answer.output
    assert "1 promise(s) broken" in answer.output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("opj", "there is no recipe, network or data set 'opj'; did you mean 'opi'"),
        ("my-own", "If a package of yours adds it, install that"),
        ("[1]", "expected a name, or a mapping"),
        ("{", "neither a name nor a YAML mapping"),
        ("{name: digits, sise: 8}", "no option 'sise'"),
    ],
)
def test_what_cannot_be_checked(name, message):
    answer = CliRunner().invoke(main, ["check", name])
    assert answer.exit_code == 1
    assert message in answer.output
