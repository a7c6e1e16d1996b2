"""What a matrix file says: the axes of a benchmark, and how cells are trained and evaluated.

A matrix is the product of data sets, networks, recipes and seeds; time steps are no axis, because
one simulation is read out at all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetPydanticSchema,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from benchmarks import tasks
from benchmarks.recipe_entries import RecipeEntries
from benchmarks.settings import CellSettings, EvaluationSpec, TrackingSpec, TrainerSpec
from benchmarks.strict import Strict
from benchmarks.tasks import Task, TrainingSpec
from benchmarks.tuning_spec import TuningSpec
from datamodules import DataError, LoaderConfig
from datamodules import registry as datasets
from datamodules.registry import ChosenDataset
from lightning_modules import networks
from lightning_modules.networks import ChosenNetwork, NetworkError
from lightning_modules.networks.choices import MADE_FOR_CONVERSION
from spikemark_plugins.names import closest

LONGEST_NAME = 120  # characters; names become names of files, and columns of tables


class NamedSpec(BaseModel):
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


class DatasetSpec(NamedSpec):
    """A data set and its options, e.g. {name: image_folder, path: cifar10, image_size: 32}."""

    label: str | None = Field(default=None, max_length=LONGEST_NAME)  # shown in place of the name
    _chosen: ChosenDataset = PrivateAttr()

    @model_validator(mode="after")
    def _known(self) -> DatasetSpec:
        try:
            self._chosen = datasets.choose(self.name, self.options)
            self._chosen.build(LoaderConfig())  # its class, too, may refuse options
        except DataError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def chosen(self) -> ChosenDataset:
        """The data set of this name, with its options."""
        return self._chosen


class NetworkSpec(NamedSpec):
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
    recipes: RecipeEntries | None = Field(default=None, min_length=1)  # replace the matrix's own recipes
    _chosen: ChosenNetwork = PrivateAttr()

    @field_validator("training", mode="before")
    @classmethod
    def _left_to_the_matrix(cls, value: Any) -> Any:
        """What it may hold depends on the task, which the matrix knows; it parses what is wrapped here."""
        return _Unparsed.model_construct(content=value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _known(self) -> NetworkSpec:
        try:
            self._chosen = networks.choose(self.name, self.options)
        except NetworkError as error:
            raise ValueError(str(error)) from error
        if self.start is not None and not self.trained_here:
            raise ValueError(
                f"network '{self.name}' has weights of its own and is not trained, so it cannot have a start "
                "to train from: leave out one of the two"
            )
        return self

    @property
    def chosen(self) -> ChosenNetwork:
        """The network of this name, with its options."""
        return self._chosen

    @property
    def trained_here(self) -> bool:
        """True when SpikeMark has to train the network."""
        return self.checkpoint is None and not self.options.get("weights")

    @property
    def made_for_conversion(self) -> bool:
        """True when the network is trained with an activation that conversion asked for, as QCFS."""
        return self.options.get("activation") in MADE_FOR_CONVERSION


class _Unparsed(TrainingSpec):
    """A training that waits for its task."""

    content: dict[str, Any]


# A task is written by its name, and found when the matrix is read.
NamedTask = Annotated[
    Task,
    GetPydanticSchema(
        lambda source, handler: core_schema.no_info_after_validator_function(
            tasks.find,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda task: task.name),
        )
    ),
]

# What a matrix in `also` takes from the matrix that it stands in, unless it says otherwise.
INHERITED = ("name", "time_steps", "seeds", "trainer", "tracking", "diagnostics")


class Matrix(Strict):
    """A benchmark: axes and settings.

    `also` holds further matrices that run with this one, for other tasks say; `INHERITED` lists the
    fields that they need not repeat.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME)
    description: str = ""
    task: NamedTask = tasks.find("classification")
    datasets: list[DatasetSpec] = Field(min_length=1)
    networks: list[NetworkSpec] = Field(min_length=1)
    recipes: RecipeEntries = Field(min_length=1)
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

    def all_parts(self) -> Iterator[Matrix]:
        """This matrix and, after it, all that stand in its `also`."""
        yield self
        for further in self.also:
            yield from further.all_parts()

    @property
    def settings(self) -> CellSettings:
        """What each cell of this matrix takes along; of those in `also`, nothing."""
        return CellSettings(
            self.name,
            self.task,
            tuple(self.time_steps),
            self.evaluation,
            self.trainer,
            self.tracking,
            self.pictures,
            self.diagnostics,
        )

    @field_validator("datasets")
    @classmethod
    def _datasets_of_the_task(cls, value: list[DatasetSpec], info: ValidationInfo) -> list[DatasetSpec]:
        return _of_task(value, info, "data set", datasets.names)

    @field_validator("networks")
    @classmethod
    def _networks_of_the_task(cls, value: list[NetworkSpec], info: ValidationInfo) -> list[NetworkSpec]:
        parsed = [_with_training(spec, info, (index,)) for index, spec in enumerate(value)]
        _of_task([spec.start for spec in parsed if spec.start], info, "network", networks.names)
        return _of_task(parsed, info, "network", networks.names)

    @field_validator("training", mode="before")
    @classmethod
    def _training_of_the_task(cls, value: Any, info: ValidationInfo) -> Any:
        return _parse(value, info, ()) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _trained_for_their_recipes(self) -> Matrix:
        for network in self.networks:
            for recipe in (entry.recipe for entry in network.recipes or self.recipes):
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


_SpecT = TypeVar("_SpecT", DatasetSpec, NetworkSpec)


def _of_task(
    specs: list[_SpecT],
    info: ValidationInfo,
    kind: str,
    names: Callable[[str], list[str]],
) -> list[_SpecT]:
    """Raise ValueError unless everything named belongs to the matrix's task."""
    task: Task | None = info.data.get("task")  # absent where it is wrong itself
    for spec in specs:
        if task is not None and spec.chosen.task != task.name:
            raise ValueError(
                f"{kind} {spec.name!r} is for {spec.chosen.task}, the matrix's task is {task.name};"
                f" valid: {', '.join(names(task.name))}"
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
    kind = info.data["task"].training if "task" in info.data else TrainingSpec
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        details = [_located(problem, kind, place) for problem in error.errors()]
        raise ValidationError.from_exception_data("training", details) from error


def _located(problem: Any, kind: type[TrainingSpec], place: tuple[int | str, ...]) -> InitErrorDetails:
    message = problem["msg"]
    if problem["type"] == "extra_forbidden":
        near = closest(str(problem["loc"][-1]), kind.model_fields)
        hint = f"did you mean '{near}'? " if near else ""
        message = f"unknown field; {hint}valid: {', '.join(kind.model_fields)}"
    error = PydanticCustomError("training", "{message}", {"message": message})
    return InitErrorDetails(type=error, loc=(*place, *problem["loc"]), input=problem["input"])
