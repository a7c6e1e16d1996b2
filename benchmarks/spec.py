"""What a matrix file says: the axes of a benchmark, and how cells are trained and evaluated.

A matrix is the product of data sets, networks, recipes and seeds; time steps are no axis, because
one simulation is read out at all of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from benchmarks import tasks
from benchmarks.strict import Strict
from benchmarks.tasks.base import TrainingSpec
from benchmarks.tuning.entries import resolve
from benchmarks.tuning.settings import TuningSpec
from conversion import RecipeError
from conversion.compiled.fixed_point import Precision
from datamodules import DataError, LoaderConfig
from datamodules import registry as datasets
from lightning_modules import networks
from lightning_modules.networks import NetworkError

LONGEST_NAME = 120  # characters; names become names of files, and columns of tables


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

    label: str | None = Field(default=None, max_length=LONGEST_NAME)  # shown in place of the name

    @model_validator(mode="after")
    def _known(self) -> DatasetSpec:
        try:
            datasets.build(self.name, self.options, LoaderConfig())
        except DataError as error:
            raise ValueError(str(error)) from error
        return self


def checked_recipes(recipes: list[Any]) -> list[Any]:
    """The recipes, if each of them exists; else ValueError."""
    for index, spec in enumerate(recipes):
        try:
            resolve(spec)
        except RecipeError as error:
            raise ValueError(f"entry {index + 1}: {error}") from error
    return recipes


class NetworkSpec(Named):
    """A network, where its weights come from, and its options.

    Weights come from `checkpoint` (a file, relative to the data root), from torchvision by the
    option `weights`, or else from training as `training` says. Training begins with fresh weights, or
    with those of the network `start`, which may differ in its activations: {name: resnet20, checkpoint:
    relu.pt}, or one of this matrix, whose training is shared.
    """

    label: str | None = Field(default=None, max_length=LONGEST_NAME)
    checkpoint: str | None = None
    training: SerializeAsAny[TrainingSpec] | None = None  # replaces the matrix's own training
    start: NetworkSpec | None = None  # its label and recipes say nothing here
    recipes: list[str | dict[str, Any]] | None = Field(default=None, min_length=1)  # likewise

    @field_validator("recipes")
    @classmethod
    def _known_recipes(cls, value: list[Any] | None) -> list[Any] | None:
        return value and checked_recipes(value)

    @field_validator("training", mode="before")
    @classmethod
    def _left_to_the_matrix(cls, value: Any) -> Any:
        """What it may hold depends on the task, which the matrix knows; it parses what is wrapped here."""
        return _Unparsed.model_construct(content=value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _known(self) -> NetworkSpec:
        try:
            networks.choose(self.name, self.options)
        except NetworkError as error:
            raise ValueError(str(error)) from error
        if self.start is not None and not self.trained_here:
            raise ValueError(
                f"network '{self.name}' has weights of its own and is not trained, so it cannot have a start "
                "to train from: leave out one of the two"
            )
        return self

    @property
    def trained_here(self) -> bool:
        """True when SpikeMark has to train the network."""
        return self.checkpoint is None and not self.options.get("weights")

    @property
    def made_for_conversion(self) -> bool:
        """True when the network is trained with an activation that conversion asked for."""
        return self.options.get("activation", "relu") != "relu"


class _Unparsed(TrainingSpec):
    """A training that waits for its task."""

    content: dict[str, Any]


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
    """

    accelerator: str = "auto"
    devices: int | str | list[int] = 1
    strategy: str = "auto"
    deterministic: bool | Literal["warn"] = False  # only kernels that repeat themselves; slower on GPUs

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
    def one_device(self) -> int | list[int]:
        """The device that cells are evaluated on."""
        return self.devices[:1] if isinstance(self.devices, list) else 1


class TrackingSpec(Strict):
    """Weights & Biases: one run a cell, grouped by matrix."""

    wandb: Literal["off", "offline", "online"] = "offline"
    project: str = "spikemark"


# What a matrix in `also` takes from the matrix that it stands in, unless it says otherwise.
INHERITED = ("name", "time_steps", "seeds", "trainer", "tracking", "diagnostics")


class Matrix(Strict):
    """A benchmark: axes and settings.

    `also` holds further matrices that run with this one, for other tasks say; `INHERITED` lists the
    fields that they need not repeat.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME)
    description: str = ""
    task: str = "classification"  # one of `benchmarks.tasks`
    datasets: list[DatasetSpec] = Field(min_length=1)
    networks: list[NetworkSpec] = Field(min_length=1)
    recipes: list[str | dict[str, Any]] = Field(min_length=1)
    time_steps: list[int] = Field(min_length=1)
    seeds: list[int] = Field(default=[0], min_length=1)
    training: SerializeAsAny[TrainingSpec] = Field(default={}, validate_default=True)
    evaluation: EvaluationSpec = EvaluationSpec()
    trainer: TrainerSpec = TrainerSpec()
    tracking: TrackingSpec = TrackingSpec()
    tuning: TuningSpec = TuningSpec()
    pictures: int = Field(default=0, ge=0)  # test images that each cell draws, where its task can
    diagnostics: int = Field(
        default=0, ge=0
    )  # training images on which each cell is diagnosed layer by layer
    also: list[Matrix] = Field(default=[])

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("also"), list):
            return values
        shared = {field: values[field] for field in INHERITED if field in values}
        return {**values, "also": [{**shared, **m} if isinstance(m, dict) else m for m in values["also"]]}

    def tracked(self, mode: str) -> Matrix:
        """The same with another mode of tracking."""
        tracking = self.tracking.model_copy(update={"wandb": mode})
        also = [further.tracked(mode) for further in self.also]
        return self.model_copy(update={"tracking": tracking, "also": also})

    @field_validator("task")
    @classmethod
    def _known_task(cls, value: str) -> str:
        return tasks.find(value).name

    @field_validator("datasets")
    @classmethod
    def _datasets_of_the_task(cls, value: list[DatasetSpec], info: ValidationInfo) -> list[DatasetSpec]:
        return _of_task(value, info, "data set", datasets.task_of, datasets.names)

    @field_validator("networks")
    @classmethod
    def _networks_of_the_task(cls, value: list[NetworkSpec], info: ValidationInfo) -> list[NetworkSpec]:
        parsed = [_with_training(spec, info, (index,)) for index, spec in enumerate(value)]
        _of_task(
            [spec.start for spec in parsed if spec.start], info, "network", networks.task_of, networks.names
        )
        return _of_task(parsed, info, "network", networks.task_of, networks.names)

    @field_validator("training", mode="before")
    @classmethod
    def _training_of_the_task(cls, value: Any, info: ValidationInfo) -> Any:
        return _parse(value, info, ()) if isinstance(value, dict) else value

    @field_validator("recipes")
    @classmethod
    def _known_recipes(cls, value: list[Any]) -> list[Any]:
        return checked_recipes(value)

    @model_validator(mode="after")
    def _trained_for_their_recipes(self) -> Matrix:
        for network in self.networks:
            for recipe, _ in map(resolve, network.recipes or self.recipes):
                recipe.checked(self.time_steps)
                if recipe.retrains and not network.made_for_conversion:
                    raise ValueError(
                        f"recipe '{recipe.label}' takes thresholds learned in training, and network "
                        f"'{network.label or network.name}' has none: add `activation: qcfs` to the network, "
                        "give it `recipes` of its own, or write "
                        f"{{preset: {recipe.name}, scale: percentile}}"
                    )
        return self

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


_SpecT = TypeVar("_SpecT", bound=Named)


def _of_task(
    specs: list[_SpecT],
    info: ValidationInfo,
    kind: str,
    task_of: Callable[[str], str],
    names: Callable[[str], list[str]],
) -> list[_SpecT]:
    """Raise ValueError unless everything named belongs to the matrix's task."""
    task = info.data.get("task")  # absent where it is wrong itself
    for spec in specs:
        if task is not None and task_of(spec.name) != task:
            raise ValueError(
                f"{kind} {spec.name!r} is for {task_of(spec.name)}, the matrix's task is {task};"
                f" valid: {', '.join(names(task))}"
            )
    return specs


def _with_training(spec: NetworkSpec, info: ValidationInfo, place: tuple[int | str, ...]) -> NetworkSpec:
    """The network, and what it starts from, with trainings of the matrix's task."""
    changes: dict[str, Any] = {}
    if isinstance(spec.training, _Unparsed):
        changes["training"] = _parse(spec.training.content, info, (*place, "training"))
    if spec.start is not None:
        changes["start"] = _with_training(spec.start, info, (*place, "start"))
    return spec.model_copy(update=changes)


def _parse(content: dict[str, Any], info: ValidationInfo, place: tuple[int | str, ...]) -> TrainingSpec:
    """Parse a training by the matrix's task; errors name the place below the field."""
    kind = tasks.find(info.data["task"]).training if "task" in info.data else TrainingSpec
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        details = [_located(problem, kind, place) for problem in error.errors()]
        raise ValidationError.from_exception_data("training", details) from error


def _located(problem: Any, kind: type[TrainingSpec], place: tuple[int | str, ...]) -> InitErrorDetails:
    message, field = problem["msg"], str(problem["loc"][-1])
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(field, kind.model_fields, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        message = f"unknown field; {hint}valid: {', '.join(kind.model_fields)}"
    error = PydanticCustomError("training", "{message}", {"message": message})
    return InitErrorDetails(type=error, loc=(*place, *problem["loc"]), input=problem["input"])
