"""What a matrix file says: the axes of a benchmark, and how cells are trained and evaluated.

A matrix is the product of data sets, networks, recipes and seeds; time steps are no axis, because
one simulation is read out at all of them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from conversion import RecipeError, recipe_from
from conversion.network import Precision
from datamodules import DataError, LoaderConfig
from datamodules import registry as datasets
from lightning_modules import networks
from lightning_modules.classification import OptimiserConfig
from lightning_modules.networks import NetworkError


class Strict(BaseModel):
    """Unknown fields are refused; nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Named(BaseModel):
    """A registered name with options of its own beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        """What stands beside the known fields."""
        return dict(self.model_extra or {})


class DatasetSpec(Named):
    """A data set and its options, e.g. {name: image_folder, path: cifar10, image_size: 32}."""

    label: str | None = None  # shown on the leaderboard in place of the name

    @model_validator(mode="after")
    def _known(self) -> DatasetSpec:
        try:
            datasets.build(self.name, self.options, LoaderConfig())
        except DataError as error:
            raise ValueError(str(error)) from error
        return self


class TrainingSpec(Strict):
    """How an ANN is trained; the fields of `OptimiserConfig` and the trainer's own options."""

    epochs: int = Field(default=60, ge=1)
    batch_size: int = Field(default=128, ge=1)
    lr: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(default=5e-4, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    warmup_epochs: float = Field(default=0.0, ge=0)
    precision: str = "32-true"  # as Lightning's Trainer takes it, e.g. "bf16-mixed"

    @property
    def optimiser(self) -> OptimiserConfig:
        """The optimiser's part of the configuration."""
        return OptimiserConfig(**{name: getattr(self, name) for name in OptimiserConfig.__dataclass_fields__})


class NetworkSpec(Named):
    """A network, where its weights come from, and its options.

    Weights come from `checkpoint` (a file, relative to the data root), from torchvision by the
    option `weights`, or else from training as `training` says.
    """

    label: str | None = None
    checkpoint: str | None = None
    training: TrainingSpec | None = None  # replaces the matrix's own training

    @model_validator(mode="after")
    def _known(self) -> NetworkSpec:
        try:
            networks.check(self.name, self.options)
        except NetworkError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def trained_here(self) -> bool:
        """True when SpikeMark has to train the network."""
        return self.checkpoint is None and not self.options.get("weights")


class EvaluationSpec(Strict):
    """How spiking networks are calibrated and tested."""

    calibration_images: int = Field(default=256, ge=1)  # drawn by seed from training images
    test_images: int | None = Field(default=None, ge=1)  # None: all; else the same sample for everyone
    batch_size: int = Field(default=64, ge=1)
    num_workers: int = Field(default=0, ge=0)
    chunk: int = Field(default=16, ge=1)  # time steps simulated at once
    precision: Precision = "float32"  # of the weights that spikes meet


class TrainerSpec(Strict):
    """Where the work runs; handed to Lightning's Trainer as is."""

    accelerator: str = "auto"
    devices: int | str | list[int] = 1
    strategy: str = "auto"


class TrackingSpec(Strict):
    """Weights & Biases: one run a cell, grouped by matrix."""

    wandb: Literal["off", "offline", "online"] = "offline"
    project: str = "spikemark"


class Matrix(Strict):
    """A benchmark: axes and settings."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    description: str = ""
    task: Literal["classification"] = "classification"
    datasets: list[DatasetSpec] = Field(min_length=1)
    networks: list[NetworkSpec] = Field(min_length=1)
    recipes: list[str | dict[str, Any]] = Field(min_length=1)
    time_steps: list[int] = Field(min_length=1)
    seeds: list[int] = Field(default=[0], min_length=1)
    training: TrainingSpec = TrainingSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    trainer: TrainerSpec = TrainerSpec()
    tracking: TrackingSpec = TrackingSpec()

    @field_validator("recipes")
    @classmethod
    def _known_recipes(cls, value: list[Any]) -> list[Any]:
        for index, spec in enumerate(value):
            try:
                recipe_from(spec)
            except RecipeError as error:
                raise ValueError(f"entry {index + 1}: {error}") from error
        return value

    @field_validator("time_steps")
    @classmethod
    def _sorted_time_steps(cls, value: list[int]) -> list[int]:
        if any(t < 1 for t in value):
            raise ValueError(f"time steps must be at least 1, got {value}")
        return sorted(set(value))

    @field_validator("seeds")
    @classmethod
    def _valid_seeds(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value) or any(not 0 <= seed < 2**32 for seed in value):
            raise ValueError(f"seeds must be different numbers from 0 to 2**32 - 1, got {value}")
        return value
