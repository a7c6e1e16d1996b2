"""What cells cost: in forward passes of their ANN before anything ran, in seconds once some have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.cells import AnnSpec, Cell
from benchmarks.coordination.kinds import Kind
from benchmarks.data import evaluation_data, training_data
from benchmarks.execution.remaining import Left, Measured
from datamodules import DataModule

BACKWARD = 2  # ANN forwards that a backward pass costs, by operations
RECORD_BYTES = 30_000  # of a record, besides a bit for each image and read-out
TRACKED_BYTES = 32_000  # of an offline run of W&B
PAGE_BYTES = 5_000_000  # of the leaderboard's page, most of it the plots' own code
BASE64 = 4 / 3
CHECKPOINTS = 4  # times the weights on disk while training: two checkpoints with momentum, old and new


@dataclass(frozen=True)
class AnnCost:
    """What a network's cells have in common.

    Attributes:
        training: ANN forwards of one training.
        images: test images.
        bytes: of its files on the disk while it is trained.
    """

    training: int
    images: int
    bytes: int


def ann_cost(cell: Cell) -> AnnCost:
    """Cost of a cell's network, from the data set and the network's parameters.

    Raises:
        DataError: the data are missing.
    """
    spec, evaluation = cell.ann, cell.settings.evaluation
    data = evaluation_data(evaluation, spec)
    images = len(data.test_dataloader().dataset)  # type: ignore[arg-type]
    if not spec.network.trained_here:
        return AnnCost(0, images, 0)
    batches = len(training_data(evaluation, spec).train_dataloader())
    forwards = batches * spec.training.batch_size * spec.training.epochs * (1 + BACKWARD)
    return AnnCost(forwards, images, CHECKPOINTS * _bytes_of(spec, data))


def cell_forwards(cell: Cell, images: int) -> int:
    """Cost of a cell in ANN forwards: simulated densely, a time step costs about one.

    Recipes that must know T are fitted and simulated for each t anew.
    """
    fitting = cell.recipe.fit_forwards(cell.settings.evaluation.calibration_images, cell.settings.time_steps)
    return images * _forwards_an_image(cell) + fitting


def record_bytes(cell: Cell, images: int) -> int:
    """About how large a record and its tracked run are."""
    tracked = 0 if cell.settings.tracking.wandb == "off" else TRACKED_BYTES
    return round(RECORD_BYTES + images / 8 * BASE64 * (1 + len(cell.settings.time_steps))) + tracked


class Seconds:
    """Measured seconds of cells, and what they say of others; see `remaining.Measured`."""

    def __init__(self) -> None:
        self._measured = Measured()

    def add(self, cell: Cell, seconds: float) -> None:
        """A cell took so long."""
        self._measured.add(kind_of(cell), seconds)

    def remaining(self, cells: Iterable[Cell]) -> float | None:
        """Seconds of work in cells, from the cells that are most like them; None before any was measured."""
        return self._measured.remaining(map(kind_of, cells))

    def left(self, cells: Iterable[Cell], elapsed: Mapping[str, float], at_once: int) -> Left | None:
        """What is left of cells that run or wait; None before any was measured, or where there are none.

        Args:
            cells: those without a record.
            elapsed: cell id -> seconds that it has run so far.
            at_once: how many run at a time, where there are so many.
        """
        return self._measured.left([(cell.id, kind_of(cell)) for cell in cells], elapsed, at_once)


def kind_of(cell: Cell) -> Kind:
    """What of a cell says how long it takes."""
    return Kind(
        cell.dataset,
        cell.network,
        cell.recipe.name,
        cell.recipe.needs_time_steps,
        _forwards_an_image(cell),
    )


def _forwards_an_image(cell: Cell) -> int:
    """Of a cell's test, in ANN forwards: what is fitted for each T is simulated for each T, too."""
    steps = cell.settings.time_steps
    return 1 + (sum(steps) if cell.recipe.needs_time_steps else steps[-1])


def _bytes_of(spec: AnnSpec, data: DataModule) -> int:
    network = spec.network.chosen.build(len(data.classes), data.image_shape[0])
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())
