"""What cells cost: in forward passes of their ANN before anything ran, in seconds once some have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks.cells import AnnSpec, Cell
from benchmarks.data import evaluation_data, training_data
from benchmarks.execution.times import in_words
from datamodules import DataModule

BACKWARD = 2  # ANN forwards that a backward pass costs, by operations
RECORD_BYTES = 30_000  # of a record, besides a bit for each image and read-out
TRACKED_BYTES = 32_000  # of an offline run of W&B
PAGE_BYTES = 5_000_000  # of the leaderboard's page, most of it the plots' own code
BASE64 = 4 / 3
CLOSE = 3  # entries of a key that says data set, network, and the recipe or how it is fitted
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


@dataclass(frozen=True)
class Left:
    """What is still to be waited for.

    Attributes:
        seconds: where all that runs at once goes on to run.
        at_least: it may be more: a cell is of a kind that has not been measured, or runs longer than others.
    """

    seconds: float
    at_least: bool

    def __str__(self) -> str:
        if self.at_least and self.seconds < 1:
            return "longer than cells before"
        return f"{'at least' if self.at_least else 'about'} {in_words(self.seconds)} left"


@dataclass
class Seconds:
    """Measured seconds of cells, and what they say of others."""

    _found: dict[tuple[str | bool, ...], list[float]] = field(default_factory=dict)  # for each forward

    def add(self, cell: Cell, seconds: float) -> None:
        """A cell took so long."""
        for key in _keys(cell):
            self._found.setdefault(key, []).append(seconds / _forwards_an_image(cell))

    def remaining(self, cells: Iterable[Cell]) -> float | None:
        """Seconds of work in cells, from the cells that are most like them; None before any was measured."""
        if not self._found:
            return None
        return sum(self._of(cell)[0] for cell in cells)

    def left(self, cells: Iterable[Cell], elapsed: Mapping[str, float], at_once: int) -> Left | None:
        """What is left of cells that run or wait; None before any was measured, or where there are none.

        Args:
            cells: those without a record.
            elapsed: cell id -> seconds that it has run so far.
            at_once: how many run at a time, where there are so many.
        """
        waiting = list(cells)
        if not self._found or not waiting:
            return None
        single, at_least = [], False
        for cell in waiting:
            expected, alike = self._of(cell)
            ran = elapsed.get(cell.id, 0.0)
            single.append(max(expected - ran, 0.0))
            at_least |= ran > expected or not alike
        shared = sum(single) / min(max(at_once, 1), len(single))
        return Left(max(shared, *single), at_least)

    def _of(self, cell: Cell) -> tuple[float, bool]:
        """Seconds of a cell, and whether cells fitted as it is were measured on its network."""
        key = next(key for key in _keys(cell) if key in self._found)
        rates = self._found[key]
        return sum(rates) / len(rates) * _forwards_an_image(cell), len(key) == CLOSE


def _forwards_an_image(cell: Cell) -> int:
    """Of a cell's test, in ANN forwards: what is fitted for each T is simulated for each T, too."""
    steps = cell.settings.time_steps
    return 1 + (sum(steps) if cell.recipe.needs_time_steps else steps[-1])


def _keys(cell: Cell) -> list[tuple[str | bool, ...]]:
    """What to look a cell up by, the closest first; the last one is everything.

    A fit for each T costs many times a fit for all, so cells of the two kinds say little of each other.
    """
    return [
        (cell.dataset, cell.network, cell.recipe.name),
        (cell.dataset, cell.network, cell.recipe.needs_time_steps),
        (cell.dataset, cell.network),
        (cell.network,),
        (),
    ]


def _bytes_of(spec: AnnSpec, data: DataModule) -> int:
    network = spec.network.chosen.build(len(data.classes), data.image_shape[0])
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())
