"""What a matrix says of all its cells alike: how they are evaluated, where they run, who watches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, field_validator

from benchmarks.strict import Strict
from benchmarks.tasks import Task
from conversion.simulation.backend import Precision


class EvaluationSpec(Strict):
    """How spiking networks are calibrated and tested."""

    calibration_images: int = Field(default=256, ge=1)  # drawn by seed from training images
    test_images: int | None = Field(default=None, ge=1)  # None: all; else the same sample for everyone
    batch_size: int = Field(default=64, ge=1)
    num_workers: int = Field(default=0, ge=0)
    chunk: int = Field(default=16, ge=1)  # time steps simulated at once, at most
    memory_mib: float | None = Field(default=None, gt=0)  # that a simulation may take; cuts batch and chunk
    precision: Precision = "float32"  # of the weights that spikes meet


class TrainerSpec(Strict):
    """Where the work runs; handed to Lightning's Trainer.

    `devices` and `strategy` are for training alone: several devices train one network together (by
    default with `ddp_spawn`), while a cell is always evaluated on one, the first. Many cells at once is
    what `spikemark run --workers` and its like are for.

    `threads` bounds the CPU threads of a training or cell, for networks so small that more threads only wait
    for each other; where there are fewer, or `spikemark run --threads` says fewer, it changes nothing.
    """

    accelerator: str = "auto"
    devices: int | str | list[int] = 1
    strategy: str = "auto"
    deterministic: bool | Literal["warn"] = False  # only kernels that repeat themselves; slower on GPUs
    threads: int | None = Field(default=None, ge=1)

    @field_validator("strategy")
    @classmethod
    def _within_this_process(cls, value: str) -> str:
        if value == "ddp" or (value.startswith("ddp_") and not value.startswith(("ddp_spawn", "ddp_fork"))):
            raise ValueError(
                f"'{value}' would start the whole command once more for each device; use ddp_spawn"
            )
        return value

    @property
    def training_strategy(self) -> str:
        """Lightning's strategy for training."""
        several = self.devices not in (1, "1", "auto") and not (
            isinstance(self.devices, list) and len(self.devices) == 1
        )
        return "ddp_spawn" if several and self.strategy == "auto" else self.strategy

    @property
    def device(self) -> torch.device:
        """The device for work without a trainer."""
        wanted = self.accelerator in ("auto", "gpu", "cuda")
        return torch.device("cuda" if wanted and torch.cuda.is_available() else "cpu")

    @property
    def one_device(self) -> int | list[int]:
        """The device that cells are evaluated on."""
        return self.devices[:1] if isinstance(self.devices, list) else 1


class TrackingSpec(Strict):
    """Weights & Biases: one run a cell, grouped by matrix."""

    wandb: Literal["off", "offline", "online"] = "off"
    project: str = "spikemark"


@dataclass(frozen=True)
class CellSettings:
    """The part of a matrix that a cell takes along, wherever it runs.

    Attributes:
        matrix: name of the matrix.
        task: of its cells.
        time_steps: when networks are read out, in order.
        evaluation: how spiking networks are calibrated and tested.
        trainer: where the work runs.
        tracking: whether runs are written for Weights & Biases.
        pictures: test images that each cell draws.
        diagnostics: training images on which each cell is diagnosed.
    """

    matrix: str
    task: Task
    time_steps: tuple[int, ...]
    evaluation: EvaluationSpec
    trainer: TrainerSpec
    tracking: TrackingSpec
    pictures: int
    diagnostics: int
