"""`spikemark diagnose`: trains what is missing, compares on images of its own, explains what is wrong."""

import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner
from rich.console import Console

from benchmarks import diagnose as module
from benchmarks.cells import expand
from benchmarks.cli import main
from benchmarks.data import evaluation_data
from benchmarks.matrix import load
from conversion import Diagnosis
from leaderboard.store.diagnoses import load_diagnoses


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Trained networks that the tests share."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def spikemark(results, write_matrix, tiny):
    matrix = write_matrix(tiny)

    def call(*words):
        arguments = ["diagnose", str(matrix), "--results", str(results), *map(str, words)]
        return CliRunner().invoke(main, arguments, env={"COLUMNS": "100"})

    return call


def test_a_table_for_each_time_step_and_a_plot(spikemark, results, tmp_path):
    done = spikemark("--images", 5, "--t", 4, "--t", 2, "--plot", tmp_path / "errors.png")
    assert done.exit_code == 0, done.output
    assert "recipe opi, 5 training images" in done.output
    assert done.output.index("t = 2;") < done.output.index("t = 4;")
    for heading in (
        "layer",
        "theta",
        "rate",
        "error",
        "clipping",
        "quantisation",
        "input",
        "unevenness",
        "SIN",
    ):
        assert done.output.count(f" {heading}") >= 2
    assert str(tmp_path / "errors.png") in done.output
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
    (trained,) = results.glob("anns/*/network.pt")
    before = trained.stat().st_mtime_ns
    again = spikemark("--images", 5, "--t", 4, "--recipe", "spicalib")  # not in the matrix, but a preset
    assert "recipe spicalib" in again.output
    assert "training small_cnn" not in again.output
    assert trained.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--network", "small_cn"], "has no network 'small_cn'; did you mean 'small_cnn'?"),
        (["--recipe", "brust"], "unknown recipe 'brust'; did you mean 'burst'?"),
        (["--recipe", "ptq"], "'ptq' sends no spikes"),
        (["--plot", "errors.doc"], "the suffix must be one of"),
        (["--images", 100000], "training split"),
    ],
)
def test_what_is_wrong_is_named(spikemark, words, message):
    done = spikemark(*words)
    assert done.exit_code == 1
    assert message in done.stderr
    assert isinstance(done.exception, SystemExit)


def test_images_are_training_images_beyond_the_calibration_images(results, write_matrix, tiny, monkeypatch):
    """Calibration must be that of a run, and neither it nor the test set may be diagnosed on."""
    matrix = load(write_matrix(tiny))
    seen = {}
    monkeypatch.setattr(module, "convert", lambda ann, recipe, batches: seen.update(calibration=batches))
    nothing = Diagnosis("opi", 7, ())
    monkeypatch.setattr(module, "diagnose", lambda _, __, images, ___: seen.update(images=images) or nothing)
    module.diagnose_matrix(matrix, None, results, Console(quiet=True), None, None, 7, [4])
    data = evaluation_data(matrix.evaluation, expand(matrix, None)[0].ann)
    expected = data.calibration_batches()
    assert [len(batch) for batch in seen["calibration"]] == [len(batch) for batch in expected]
    assert torch.equal(torch.cat(list(seen["calibration"])), torch.cat(expected))
    train = torch.cat([images for images, _ in _unshuffled(data)])
    assert len(seen["images"]) == 7
    for image in seen["images"]:
        assert (train == image).flatten(1).all(1).any()
        assert not (torch.cat(expected) == image).flatten(1).all(1).any()


def _unshuffled(data):
    samples = data._samples("train", training=False)
    return data._loader(samples, shuffle=False)


def test_labels_of_changed_recipes_can_be_named(write_matrix, tiny, results):
    changed = {**tiny, "recipes": ["opi", {"preset": "burst", "neuron": {"gamma": 3}}]}
    words = ["diagnose", str(write_matrix(changed)), "--results", str(results), "--images", "2", "--t", "1"]
    done = CliRunner().invoke(main, [*words, "--recipe", "burst gamma=3"])
    assert done.exit_code == 0, done.output
    assert "recipe burst gamma=3" in done.output


def test_matplotlib_is_loaded_only_to_draw():
    code = "import sys, conversion; assert 'matplotlib' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_run_diagnoses_its_cells_and_so_does_the_command(write_matrix, tiny, tmp_path):
    matrix = write_matrix({**tiny, "recipes": ["opi", "ptq"], "diagnostics": 6})
    done = CliRunner().invoke(main, ["run", str(matrix), "--results", str(tmp_path)])
    assert done.exit_code == 0, done.output
    opi, ptq = (cell.id for cell in expand(load(matrix), None))
    found = load_diagnoses(tmp_path)
    assert (found[opi].images, {row.t for row in found[opi].layers}) == (6, {4})
    assert all(row.error is not None and row.error > 0 for row in found[opi].layers)
    assert "sends no spikes" in found[ptq].why_not
    words = ["diagnose", str(matrix), "--results", str(tmp_path), "--images", "5", "--t", "2"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    again = load_diagnoses(tmp_path)[opi]
    assert (again.images, {row.t for row in again.layers}) == (5, {2})
