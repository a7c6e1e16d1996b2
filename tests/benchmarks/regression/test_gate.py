"""The gate on a reduced matrix: quiet where nothing has changed, and five planted faults are found."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import yaml
from click.testing import CliRunner
from rich.console import Console

from benchmarks import tasks
from benchmarks.cli import main
from benchmarks.errors import RegressionError
from benchmarks.matrix import bundled, load
from benchmarks.regression.measure import keep_weights, measure
from benchmarks.spec import Matrix
from conversion import recipe_names
from conversion.costs import synapses
from conversion.network import SpikingNetwork
from conversion.neurons import IntegrateAndFire, Neuron
from conversion.pooling import Gate
from conversion.scales import Percentile
from conversion.simulation.compiled.native import kernel
from leaderboard.regression.baseline import SAME
from leaderboard.regression.changes import FAN_OUT, NEURONS, POOLS, SHIFTED, moves

REDUCED = {
    "name": "reduced",
    "datasets": [{"name": "digits", "size": 8}],
    "networks": [{"name": "small_cnn", "channels": [4, 6]}],
    "recipes": ["opi"],
    "time_steps": [1, 2, 3, 4],
    "training": {"epochs": 2},
    "evaluation": {"calibration_images": 20, "test_images": 20, "batch_size": 20},
    "tracking": {"wandb": "off"},
}


@pytest.fixture(scope="module")
def python_only():
    """Faults are planted in Python, where the compiled kernel would not see them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKEMARK_NATIVE", "0")
        kernel.cache_clear()
        yield
    kernel.cache_clear()


def measured(results, weights):
    return measure(Matrix.model_validate(REDUCED), results, weights, Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def before(python_only, tmp_path_factory):
    """Folder of weights, and what was measured with them."""
    weights = tmp_path_factory.mktemp("weights")
    results = tmp_path_factory.mktemp("results")
    baseline = measured(results, weights)
    keep_weights(results, weights)
    return weights, baseline


def test_nothing_has_moved(before, tmp_path):
    weights, baseline = before
    again = measured(tmp_path, weights)
    assert again == baseline
    assert moves(baseline.cells, again.cells, SAME) == []


def threshold_off_by_one_percent(patch):
    right = Percentile.thresholds
    patch.setattr(Percentile, "thresholds", lambda self, layer: right(self, layer) * 1.01)


def reset_that_is_skipped(patch):
    right = IntegrateAndFire.step

    def step(self, current, state):
        spikes, _ = right(self, current, state)
        return spikes, {"v": state["v"] + current}

    patch.setattr(IntegrateAndFire, "step", step)
    patch.delattr(IntegrateAndFire, "step_into")  # nor in place
    patch.setattr(IntegrateAndFire, "scan", Neuron.scan)  # step by step


def pool_that_loses_spikes(patch):
    right = Gate.scan

    def scan(self, pool, values, state):
        pooled, after = right(self, pool, values, state)
        pooled = pooled.clone()
        pooled[..., 0, 0] = 0
        return pooled, after

    patch.setattr(Gate, "scan", scan)


def fan_out_that_is_miscounted(patch):
    right = synapses.products
    patch.setattr(synapses, "products", lambda layer, counts: 1.25 * right(layer, counts))


def time_index_that_is_shifted(patch):
    right = SpikingNetwork.simulate

    def simulate(self, images, time_steps, *settings):
        for readout in right(self, images, [t + 1 for t in time_steps], *settings):
            t = readout.t - 1
            yield replace(readout, t=t, averaged=t, t_total=t)

    patch.setattr(SpikingNetwork, "simulate", simulate)


@pytest.mark.parametrize(
    ("plant", "what", "room"),
    [
        (threshold_off_by_one_percent, "spikes of", NEURONS),
        (reset_that_is_skipped, "spikes of", NEURONS),
        (pool_that_loses_spikes, "spikes of", POOLS),
        (fan_out_that_is_miscounted, "SynOps of", FAN_OUT),
        (time_index_that_is_shifted, "spikes of", SHIFTED),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_planted_fault_is_found_and_placed(before, tmp_path, monkeypatch, plant, what, room):
    weights, baseline = before
    plant(monkeypatch)
    now = measured(tmp_path, weights)
    assert now.arithmetic == baseline.arithmetic  # a fault must not pass for another machine
    (move,) = moves(baseline.cells, now.cells, baseline.tolerance(now.arithmetic))
    assert move.what.startswith(what)
    assert move.room == room
    assert move.before != move.after


@pytest.mark.usefixtures("python_only")
def test_the_command_writes_compares_and_complains(tmp_path, monkeypatch):
    matrix, file = tmp_path / "mine.yaml", tmp_path / "kept" / "baseline.json"
    matrix.write_text(yaml.safe_dump(REDUCED))

    def regress(*options):
        return CliRunner().invoke(main, ["regress", str(matrix), "--baseline", str(file), *options])

    missing = regress()
    assert missing.exit_code == 1
    assert "`spikemark regress --update` writes one" in missing.output
    assert regress("--update").exit_code == 0
    same = regress()
    assert same.exit_code == 0, same.output
    assert "1 of 1 cells compared, nothing has moved" in same.output
    written = file.read_bytes()

    threshold_off_by_one_percent(monkeypatch)
    moved = regress()
    assert moved.exit_code == 1
    assert "1 of 1 cells have moved" in moved.output
    assert "Same arithmetic" in moved.output
    assert file.read_bytes() == written
    updated = regress("--update")
    assert updated.exit_code == 0
    assert f"- {NEURONS}: classification / digits / small_cnn / opi / seed 0: spikes of" in updated.output
    assert updated.output.rstrip().endswith("because ...")
    assert file.read_bytes() != written


def test_a_cell_that_fails_is_named(before, tmp_path, monkeypatch):
    def fails(self, layer):
        raise ValueError("no quantile today")

    monkeypatch.setattr(Percentile, "thresholds", fails)
    with pytest.raises(RegressionError, match=r"digits / small_cnn / opi / seed 0:[\s\S]*no quantile today"):
        measured(tmp_path, before[0])


def test_the_gate_runs_every_recipe_of_ours():
    matrix = load(bundled()["regression"])
    entries = [*matrix.recipes, *(recipe for network in matrix.networks for recipe in network.recipes or [])]
    ours = {name for name in recipe_names() if name not in ("my-recipe", "guest")}
    assert {entry.recipe.name for entry in entries} == ours
    assert {part.task.name for part in matrix.all_parts()} == set(tasks.names())
