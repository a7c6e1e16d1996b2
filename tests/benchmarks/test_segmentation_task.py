"""A segmentation cell goes through runner, record, leaderboard and pictures like any other."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmarks.errors import MatrixError
from benchmarks.matrix import load, locate
from benchmarks.runner import run
from benchmarks.spec import Matrix
from leaderboard import ResultStore, rank
from leaderboard.store.pictures import load_pictures

SEGMENTATION = {
    "name": "tiny-segmentation",
    "task": "segmentation",
    "datasets": [{"name": "digit_scene_masks", "train_images": 24, "test_images": 6}],
    "networks": [{"name": "fcn", "width": 8, "auxiliary": True}],
    "recipes": ["burst", "ptq"],
    "time_steps": [1, 4],
    "training": {"epochs": 1, "batch_size": 8, "class_weighting": "logarithmic"},
    "evaluation": {"calibration_images": 8, "batch_size": 2},
    "tracking": {"wandb": "off"},
    "pictures": 3,
}


def test_a_cell_gives_a_sound_record_and_pictures(tmp_path):
    matrix, console = Matrix.model_validate(SEGMENTATION), Console(file=io.StringIO())
    outcome = run(matrix, None, tmp_path, console)
    assert outcome.failures == []
    loaded = ResultStore(tmp_path).load()
    assert loaded.invalid == []
    assert {record.task for record in loaded.records} == {"segmentation"}
    for record in loaded.records:
        assert record.metric == "miou"
        assert {"miou", "pixel_accuracy"} <= record.ann.metrics.keys()
        assert (tmp_path / "records" / f"{record.cell_id}.json").stat().st_size < 200_000
        for point in record.curve:
            stated = record.outcomes.metric_of(record.outcomes.at[point.t])
            assert stated == pytest.approx(point.metrics["miou"])
    (board,) = rank(loaded.records)
    assert all(row.interval is not None and row.gap_interval is not None for row in board.rows)
    drawn = load_pictures(tmp_path)  # by the run itself
    assert {cell: len(pictures) for cell, pictures in drawn.items()} == {
        record.cell_id: 3 for record in loaded.records
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": ["spp_yolo"]}, r"networks: network 'spp_yolo' is for detection.*fcn, deeplab"),
        ({"datasets": ["digits"]}, r"datasets: data set 'digits' is for classification.*digit_scene_masks"),
        ({"training": {"powr": 0.9}}, r"training\.powr: unknown field; did you mean 'power'"),
        ({"training": {"class_weighting": "inverse"}}, r"training\.class_weighting"),
    ],
)
def test_what_does_not_belong_to_the_task_is_named(write_matrix, change, message):
    with pytest.raises(MatrixError, match=message):
        load(write_matrix({**SEGMENTATION, **change}))


def test_the_headline_takes_the_claim_s_recipes():
    matrix = load(locate("segmentation_headline"))
    presets = {entry.recipe.name for entry in matrix.recipes}
    assert {"opi", "ltb", "burst", "spicalib", "snm", "dcgs", "spikemark", "ptq"} <= presets
    assert {dataset.name for dataset in matrix.datasets} == {"digit_scene_masks", "cityscapes"}
