"""Classification: one label per image, top-1 accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import Tensor, nn

from benchmarks.tasks.base import Task, TrainingSpec
from leaderboard import encode_outcomes
from leaderboard.records.record import Outcomes
from lightning_modules.classification import ClassificationModule, OptimiserConfig


class ClassificationTraining(TrainingSpec):
    """How a classifier is trained; the fields of `OptimiserConfig` and the trainer's own options."""

    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)


def _module(network: nn.Module, data: Any, training: TrainingSpec) -> ClassificationModule:
    config = OptimiserConfig(**training.config_of(OptimiserConfig))
    return ClassificationModule(network, len(data.classes), config)


def _outcomes(metric: str, ann: Tensor, at: Mapping[int, Tensor]) -> Outcomes:
    return Outcomes(
        measure=metric,
        count=len(ann),
        ann=encode_outcomes(ann.numpy()),
        at={t: encode_outcomes(outcomes.numpy()) for t, outcomes in at.items()},
    )


CLASSIFICATION = Task("classification", ClassificationTraining, _module, _outcomes)
