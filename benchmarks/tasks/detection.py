"""Detection: boxes and classes, mean average precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from PIL.Image import Image
from pydantic import Field
from torch import nn

from benchmarks.tasks.base import Task, TrainingSpec
from conversion import Converted
from leaderboard.records.record import Outcomes
from leaderboard.scores import detections
from leaderboard.scores.detections import encode_matches, encode_objects
from lightning_modules.detection import DetectionModule, DetectionOptimiserConfig
from lightning_modules.detection.metric import DetectionOutcomes
from lightning_modules.detection.pictures import detection_pictures


class DetectionTraining(TrainingSpec):
    """How a detector is trained; the fields of `DetectionOptimiserConfig` and the trainer's own options."""

    batch_size: int = Field(default=16, ge=1)
    lr: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup_epochs: float = Field(default=3.0, ge=0)
    ema_decay: float = Field(default=0.998, ge=0, lt=1)
    gradient_clip: float = Field(default=10.0, gt=0)
    assignment: Literal["task-aligned", "centre"] = "task-aligned"
    class_loss: Literal["bce", "focal"] = "bce"
    box_loss: Literal["ciou", "giou"] = "ciou"
    box_weight: float = Field(default=2.5, ge=0)


def _module(network: nn.Module, data: Any, training: TrainingSpec) -> DetectionModule:
    config = DetectionOptimiserConfig(**training.config_of(DetectionOptimiserConfig))
    return DetectionModule(network, data.classes, data.scoring, config)  # type: ignore[arg-type]


def _outcomes(metric: str, ann: DetectionOutcomes, at: Mapping[int, DetectionOutcomes]) -> Outcomes:
    return Outcomes(
        measure=metric,
        encoding=detections.ENCODING.name,
        count=len(ann),
        common=encode_objects(ann.matches.objects, ann.matches.thresholds, ann.interpolation),
        ann=_encoded(ann),
        at={t: _encoded(outcomes) for t, outcomes in at.items()},
    )


def _encoded(outcomes: DetectionOutcomes) -> str:
    found = outcomes.matches
    return encode_matches(found.image, found.label, found.hits, found.ignored)


def _pictures(
    module: DetectionModule, snn: Converted, batch: Any, data: Any, time_steps: Sequence[int]
) -> list[Image]:
    return detection_pictures(module, snn, batch, time_steps, data.options.mean, data.options.std)


DETECTION = Task("detection", DetectionTraining, _module, _outcomes, _pictures)
