"""Classification: one label per image, top-1 accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import Tensor, nn

from benchmarks.tasks.base import Task, TrainingSpec
from leaderboard import encode_outcomes
from leaderboard.records.record import Outcomes
from lightning_modules.classification import ClassificationModule, OptimiserConfig


class ClassificationTraining(TrainingSpec):
    """How a classifier is trained; the fields of `OptimiserConfig` and the trainer's own options."""

    algorithm: Literal["sgd", "adamw"] = "sgd"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _of_the_algorithm(self) -> ClassificationTraining:
        """AdamW takes far lower learning rates than the default, and no momentum."""
        if self.algorithm == "adamw":
            if "lr" not in self.model_fields_set:
                raise ValueError(f"algorithm adamw needs an lr, 0.001 say; the default {self.lr} is for sgd")
            for field in ("momentum", "nesterov"):
                if field in self.model_fields_set:
                    raise ValueError(f"{field} is for algorithm sgd; adamw has none, so leave it out")
        return self

    @model_serializer(mode="wrap")
    def _what_counts(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what AdamW does not use; a network of SGD keeps its name from before there was AdamW."""
        unused = ("algorithm",) if self.algorithm == "sgd" else ("momentum", "nesterov")
        content: dict[str, Any] = handler(self)
        return {field: value for field, value in content.items() if field not in unused}


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
