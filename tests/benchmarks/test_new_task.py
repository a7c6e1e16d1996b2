"""A task that nobody knows goes the whole way, from the matrix to the ranking, by what it registers alone."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import tasks
from benchmarks.cells import expand
from benchmarks.drawing import pictures_folder
from benchmarks.errors import MatrixError
from benchmarks.execution.preview import preview
from benchmarks.matrix import load
from benchmarks.runner import run
from benchmarks.spec import Matrix
from benchmarks.tasks import Task, TrainingSpec
from datamodules import registry as datasets
from datamodules.digits import Digits
from leaderboard import ResultStore, encode_outcomes, rank, render
from leaderboard.records.record import Outcomes, Point
from lightning_modules import networks
from lightning_modules.metrics import TaskMetric
from lightning_modules.networks import NetworkEntry, registry
from lightning_modules.networks.small_cnn import SmallCNN, SmallCNNOptions
from lightning_modules.results import Measurement
from lightning_modules.task_module import TaskModule

MATRIX = {
    "name": "close-calls",
    "task": "nearness",
    "datasets": [{"name": "near_digits", "size": 8}],
    "networks": ["near_cnn"],
    "recipes": ["burst", "ptq"],
    "time_steps": [1, 4],
    "training": {"epochs": 1, "reach": 2},
    "evaluation": {"calibration_images": 32, "test_images": 40, "batch_size": 20},
    "tracking": {"wandb": "off"},
}


class NearMetric(TaskMetric):
    """Share of the images whose most likely digit is at most `reach` away from the right one."""

    primary = "near"

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.add_state("near", default=[], dist_reduce_fx="cat")

    def update(self, output: Tensor, target: Tensor, reference: Any | None = None) -> None:
        self.near.append(((output.argmax(1) - target).abs() <= self.reach).float())

    def compute(self) -> dict[str, float]:
        return {"near": self.outcomes().mean().item()}

    def outcomes(self) -> Tensor:
        return torch.cat(self.near)


class NearModule(TaskModule):
    def __init__(self, network: nn.Module, reach: int) -> None:
        super().__init__()
        self.network, self.reach = network, reach
        self.ann_metric = self.new_metric()

    def new_metric(self) -> TaskMetric:
        return NearMetric(self.reach)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, targets = self.inputs_and_targets(batch)
        return F.cross_entropy(self.network(images), targets)

    def test_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        images, targets = self.inputs_and_targets(batch)
        output = self.network(images)
        self.ann_metric.update(output, targets)
        return {"output": output}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.network.parameters(), lr=0.01)


class NearTraining(TrainingSpec):
    """How its networks are trained, and what counts as near."""

    reach: int = 1


class NearDigits(Digits):
    """The embedded digits under another name and task."""

    name = "near_digits"
    task = "nearness"


def module_of(network: nn.Module, data: Any, training: TrainingSpec) -> NearModule:
    assert isinstance(training, NearTraining)
    return NearModule(network, training.reach)


def outcomes_of(metric: str, ann: Tensor, at: Mapping[int, Tensor]) -> Outcomes:
    encoded = {t: encode_outcomes(one.numpy()) for t, one in at.items()}
    return Outcomes(measure=metric, count=len(ann), ann=encode_outcomes(ann.numpy()), at=encoded)


@pytest.fixture
def nearness() -> Iterator[None]:
    """Three registrations, taken back after the test; nothing else is changed."""
    tasks.register(Task("nearness", NearTraining, module_of, outcomes_of))
    datasets.register(NearDigits)
    networks.register("near_cnn", NetworkEntry("for near misses", SmallCNNOptions, SmallCNN, "nearness"))
    yield
    del tasks.registry._TASKS["nearness"]
    del datasets._CLASSES["near_digits"]
    del registry._ENTRIES["near_cnn"]


@pytest.mark.usefixtures("nearness")
def test_a_registered_task_goes_from_matrix_to_ranking(tmp_path) -> None:
    matrix, text = Matrix.model_validate(MATRIX), io.StringIO()
    preview(matrix, None, tmp_path, False, Console(file=text, width=200))
    assert "2 to run" in text.getvalue()
    outcome = run(matrix, None, tmp_path, Console(file=io.StringIO()))
    assert outcome.failures == []
    loaded = ResultStore(tmp_path).load()
    assert loaded.invalid == []
    assert len(loaded.records) == 2
    for record in loaded.records:
        assert (record.task, record.metric) == ("nearness", "near")
        assert record.config["task"] == "nearness"
        assert record.config["ann"]["training"]["reach"] == 2
        assert record.outcomes is not None
        assert record.outcomes.count == 40
        assert [point.metrics.keys() for point in record.curve] == [{"near"}] * 2
    (board,) = rank(loaded.records)
    assert board.task == "nearness"
    assert all(row.interval is not None for row in board.rows)
    render([board], Console(file=text, width=200))
    assert "nearness" in text.getvalue()
    cell = expand(matrix, None)[0]
    assert not pictures_folder(cell, tmp_path).exists()  # the task draws none


@pytest.mark.usefixtures("nearness")
def test_a_registered_task_keeps_to_its_own(write_matrix) -> None:
    for change, message in (
        ({"networks": ["small_cnn"]}, r"'small_cnn' is for classification.* nearness; valid: near_cnn"),
        ({"datasets": ["digits"]}, r"'digits' is for classification.* nearness; valid: near_digits"),
        ({"training": {"momentum": 0.9}}, r"training\.momentum: unknown field.*reach"),
        ({"task": "nearnes"}, r"task: there is no task 'nearnes'; did you mean 'nearness'\?"),
    ):
        with pytest.raises(MatrixError, match=message):
            load(write_matrix({**MATRIX, **change}))
    with pytest.raises(ValueError, match="'nearness' is registered twice"):
        tasks.register(Task("nearness", NearTraining, module_of, outcomes_of))


def test_measurements_have_the_shape_of_a_record_s_points() -> None:
    assert {field.name for field in fields(Measurement)} <= Point.model_fields.keys()
