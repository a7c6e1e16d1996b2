"""A cell of any task goes through the same runner, record and leaderboard."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from benchmarks import tasks
from benchmarks.cells import expand
from benchmarks.errors import MatrixError
from benchmarks.matrix import load
from benchmarks.runner import run
from benchmarks.spec import Matrix
from datamodules import registry as datasets
from leaderboard import ResultStore, rank
from lightning_modules import networks

DETECTION = {
    "name": "tiny-detection",
    "task": "detection",
    "datasets": [{"name": "digit_scenes", "train_images": 24, "test_images": 6}],
    "networks": [{"name": "spp_yolo", "width": 8}],
    "recipes": ["burst", "ptq"],
    "time_steps": [1, 4],
    "training": {"epochs": 1, "batch_size": 8},
    "evaluation": {"calibration_images": 8, "batch_size": 3},
    "tracking": {"wandb": "off"},
}


def test_every_data_set_and_network_belongs_to_a_task():
    assert set(tasks.names()) >= {"classification", "detection"}
    assert {datasets.task_of(name) for name in datasets.names()} <= set(tasks.names())
    assert {networks.task_of(name) for name in networks.names()} <= set(tasks.names())
    for task in tasks.names():
        assert datasets.names(task)
        assert networks.names(task)
        assert tasks.find(task).training()  # has defaults


def test_a_detection_cell_gives_a_sound_record(tmp_path):
    outcome = run(Matrix.model_validate(DETECTION), None, tmp_path, Console(file=io.StringIO()))
    assert outcome.failures == []
    loaded = ResultStore(tmp_path).load()
    assert loaded.invalid == []
    assert {record.task for record in loaded.records} == {"detection"}
    for record in loaded.records:
        assert record.metric == "map"
        assert {"map", "map50"} <= record.ann.metrics.keys()
        assert record.outcomes.count == 6
        assert (tmp_path / "records" / f"{record.cell_id}.json").stat().st_size < 200_000
        for point in record.curve:
            stated = record.outcomes.metric_of(record.outcomes.at[point.t])
            assert stated == pytest.approx(point.metrics["map"], abs=1e-9)
    (board,) = rank(loaded.records)
    assert all(row.interval is not None and row.gap_interval is not None for row in board.rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "detektion"}, r"task: there is no task 'detektion'.*detection"),
        ({"networks": ["small_cnn"]}, r"networks: network 'small_cnn' is for classification.*spp_yolo"),
        ({"datasets": ["digits"]}, r"datasets: data set 'digits' is for classification.*digit_scenes"),
        ({"training": {"momentum": 0.9}}, r"training\.momentum: unknown field.*ema_decay"),
        ({"training": {"box_loss": "iou"}}, r"training\.box_loss: .*'ciou' or 'giou'"),
        (
            {"networks": [{"name": "spp_yolo", "training": {"ema_dekay": 0.9}}]},
            r"networks\.0\.training\.ema_dekay: .*did you mean 'ema_decay'",
        ),
    ],
)
def test_what_does_not_belong_to_the_task_is_named(write_matrix, change, message):
    with pytest.raises(MatrixError, match=message):
        load(write_matrix({**DETECTION, **change}))


def test_a_network_may_have_its_own_training():
    content = {**DETECTION, "networks": [{"name": "spp_yolo", "training": {"epochs": 7}}]}
    matrix = Matrix.model_validate(content)
    assert matrix.networks[0].training.epochs == 7
    assert matrix.networks[0].training.ema_decay == 0.998
    assert matrix.networks[0].training.model_dump().keys() == matrix.training.model_dump().keys()


CLASSIFICATION = {
    "name": "tiny",
    "datasets": ["digits"],
    "networks": ["small_cnn"],
    "recipes": ["ptq"],
    "time_steps": [1],
}


class TestTrainingByAdamW:
    @pytest.mark.parametrize(
        ("training", "message"),
        [
            ({"algorithm": "adam", "lr": 0.001}, r"training\.algorithm: .*'sgd' or 'adamw'"),
            ({"algorithm": "adamw"}, "training: .*adamw needs an lr"),
            ({"algorithm": "adamw", "lr": 0.001, "momentum": 0.9}, "training: .*momentum is for .*sgd"),
            ({"algorithm": "adamw", "lr": 0.001, "nesterov": False}, "training: .*nesterov is for .*sgd"),
        ],
    )
    def test_what_does_not_go_with_it_is_refused(self, write_matrix, training, message):
        with pytest.raises(MatrixError, match=message):
            load(write_matrix({**CLASSIFICATION, "training": training}))

    def test_the_module_gets_it(self):
        given = {"algorithm": "adamw", "lr": 0.002, "weight_decay": 0.05}
        matrix = Matrix.model_validate({**CLASSIFICATION, "training": given})
        (cell,) = expand(matrix, None)
        data = SimpleNamespace(classes=["a", "b"])
        module = matrix.task.module(torch.nn.Linear(1, 2), data, cell.ann.training)
        assert (module.optimiser.algorithm, module.optimiser.lr) == ("adamw", 0.002)
        assert given.items() <= cell.ann.config["training"].items()
        again = type(matrix.training).model_validate(cell.ann.config["training"])
        assert again == matrix.training

    def test_networks_of_sgd_keep_their_names(self):
        ids = {
            expand(Matrix.model_validate({**CLASSIFICATION, "training": training}), None)[0].ann.id
            for training in ({}, {"algorithm": "sgd"}, {"algorithm": "adamw", "lr": 0.1})
        }
        assert len(ids) == 2
        (cell,) = expand(Matrix.model_validate(CLASSIFICATION), None)
        assert "algorithm" not in cell.ann.config["training"]
