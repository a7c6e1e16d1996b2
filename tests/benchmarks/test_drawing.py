"""The command that draws what networks see."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from benchmarks.cells import expand
from benchmarks.cli import main
from benchmarks.drawing import shown_time_steps
from benchmarks.matrix import load

SCENES = {
    "name": "scenes",
    "task": "detection",
    "datasets": [{"name": "digit_scenes", "train_images": 8, "test_images": 5}],
    "networks": [{"name": "spp_yolo", "width": 8}],
    "recipes": ["burst", "opi"],
    "time_steps": [1, 2, 4],
    "training": {"epochs": 1, "batch_size": 8},
    "evaluation": {"calibration_images": 4, "batch_size": 2},
}


def test_pictures_of_some_test_images(write_matrix, tmp_path):
    words = ["pictures", str(write_matrix(SCENES)), "--results", str(tmp_path / "r"), "--images", "3"]
    done = CliRunner().invoke(main, [*words, "--recipe", "opi", "--t", "2"])
    assert done.exit_code == 0, done.output
    _, cell = expand(load(write_matrix(SCENES)), None)
    assert cell.recipe.name == "opi"
    folder = tmp_path / "r" / "pictures" / cell.id
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["test_image_01.png", "test_image_02.png", "test_image_03.png"]
    assert str(folder) in done.output


def test_the_time_steps_that_are_drawn():
    assert shown_time_steps([1, 2, 4, 8, 16, 32, 64]) == (1, 4, 16, 64)
    assert shown_time_steps([3, 5]) == (5,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--network", "spp_yola"], "no network 'spp_yola'"),
        (["--recipe", "brust"], "burst"),
    ],
)
def test_what_is_not_there_is_named(write_matrix, tmp_path, options, message):
    words = ["pictures", str(write_matrix(SCENES)), "--results", str(tmp_path)]
    done = CliRunner().invoke(main, [*words, *options])
    assert done.exit_code == 1
    assert message in done.output


def test_a_task_without_pictures_says_so(write_matrix, tiny, tmp_path):
    done = CliRunner().invoke(main, ["pictures", str(write_matrix(tiny)), "--results", str(tmp_path)])
    assert done.exit_code == 1
    assert "no pictures for classification" in done.output
