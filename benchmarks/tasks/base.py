"""What a task is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pytorch_lightning as pl
from PIL.Image import Image
from pydantic import Field
from torch import nn

from benchmarks.strict import Strict
from conversion import Converted
from leaderboard.records.record import Outcomes


class TrainingSpec(Strict):
    """How an ANN is trained, as far as all tasks agree; tasks add fields and choose defaults."""

    epochs: int = Field(default=60, ge=1)
    batch_size: int = Field(default=128, ge=1)
    lr: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    warmup_epochs: float = Field(default=0.0, ge=0)
    precision: str = "32-true"  # as Lightning's Trainer takes it, e.g. "bf16-mixed"

    def config_of(self, config_type: type) -> dict[str, Any]:
        """The fields that a Lightning module's own configuration has as well."""
        return {field.name: getattr(self, field.name) for field in fields(config_type)}


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: as data modules, networks and matrices say it.
        training: how its networks are trained.
        module: (network, data module, training) -> Lightning module; `SpikingEvaluation` says what it offers.
        outcomes: (ranking metric, the ANN's outcomes, outcomes by t) -> what the record keeps of every image,
            so that intervals can be computed; outcomes are what the metric's `outcomes` returns.
        pictures: (Lightning module, spiking network, batch, data module, time steps) -> one picture an image;
            None where there is nothing to see.
    """

    name: str
    training: type[TrainingSpec]
    module: Callable[[nn.Module, Any, TrainingSpec], pl.LightningModule]
    outcomes: Callable[[str, Any, Mapping[int, Any]], Outcomes]
    pictures: Callable[[Any, Converted, Any, Any, Sequence[int]], list[Image]] | None = None
