"""Segmentation: a class for every pixel, mean intersection over union."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from PIL.Image import Image
from pydantic import Field
from torch import nn

from benchmarks.tasks.base import Task, TrainingSpec
from conversion import Converted
from leaderboard.records.record import Outcomes
from leaderboard.scores import pixels
from leaderboard.scores.pixels import encode_found_pixels, encode_true_pixels
from lightning_modules.segmentation import SegmentationModule, SegmentationOptimiserConfig
from lightning_modules.segmentation.class_weights import ClassWeighting
from lightning_modules.segmentation.metric import SegmentationOutcomes
from lightning_modules.segmentation.pictures import segmentation_pictures


class SegmentationTraining(TrainingSpec):
    """How a network is trained; the fields of `SegmentationOptimiserConfig` and the trainer's own options."""

    batch_size: int = Field(default=16, ge=1)
    algorithm: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    power: float = Field(default=0.9, ge=0)
    auxiliary_weight: float = Field(default=0.4, ge=0)
    class_weighting: ClassWeighting = "none"


def _module(network: nn.Module, data: Any, training: TrainingSpec) -> SegmentationModule:
    config = SegmentationOptimiserConfig(**training.config_of(SegmentationOptimiserConfig))
    return SegmentationModule(network, data.classes, config)  # type: ignore[arg-type]


def _outcomes(metric: str, ann: SegmentationOutcomes, at: Mapping[int, SegmentationOutcomes]) -> Outcomes:
    return Outcomes(
        measure=metric,
        encoding=pixels.ENCODING.name,
        count=len(ann),
        common=encode_true_pixels(ann.true),
        ann=encode_found_pixels(ann.correct, ann.found),
        at={t: encode_found_pixels(one.correct, one.found) for t, one in at.items()},
    )


def _pictures(
    module: SegmentationModule, snn: Converted, batch: Any, data: Any, time_steps: Sequence[int]
) -> list[Image]:
    options = data.options
    return segmentation_pictures(module, snn, batch, time_steps, options.mean, options.std, data.colours)


SEGMENTATION = Task("segmentation", SegmentationTraining, _module, _outcomes, _pictures)
