"""Pictures of what networks make of test images; the page shows them with their cell.

<results>/pictures/<cell id>/*.png
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.anns import AnnStore, trained_ann
from benchmarks.cells import Cell
from benchmarks.choosing import choose_cell
from benchmarks.data import evaluation_data
from benchmarks.errors import AnnError
from benchmarks.progress import Display
from benchmarks.quiet import hide_lightning_hints
from benchmarks.spec import Matrix
from conversion import Converted, convert
from datamodules import DataModule
from leaderboard.files.atomic import write_atomically
from lightning_modules.pictures import png


def draw(
    matrix: Matrix,
    data_root: Path | None,
    results: Path,
    console: Console,
    network: str | None,
    recipe: str | None,
    images: int,
    time_steps: Sequence[int] = (),
    out: Path | None = None,
) -> Path:
    """Convert a network of a matrix as a run would, and draw what both make of the first test images.

    Returns:
        The folder with the PNG files.

    Raises:
        AnnError: there is no such network, or its task has no pictures.
        RecipeError: there is no such recipe.
        ConversionError: the network cannot be converted.
        DataError: the data are missing.
    """
    hide_lightning_hints()
    cell = choose_cell(matrix, data_root, network, recipe)
    settings = cell.settings
    task = settings.task
    if task.pictures is None:
        raise AnnError(
            f"matrix '{matrix.name}': there are no pictures for {task.name}, the task of {cell.network}; "
            "choose a network of another task with --network"
        )
    data = evaluation_data(settings.evaluation, cell.ann)
    data.setup()
    with Display(console, 1) as display:
        ann = trained_ann(cell, data, AnnStore(results), display).network
    module = task.module(ann, data, cell.ann.training).eval()
    steps = cell.recipe.lengths(time_steps or shown_time_steps(settings.time_steps))
    snn = convert(ann, cell.recipe, data.calibration_batches(), time_steps=steps)
    folder = out or pictures_folder(cell, results)
    write_pictures(cell, module, snn, data, images, folder, time_steps)
    return folder


def pictures_folder(cell: Cell, results: Path) -> Path:
    """Where the pictures of a cell lie."""
    return results / "pictures" / cell.id


def write_pictures(
    cell: Cell,
    module: Any,
    snn: Converted,
    data: DataModule,
    images: int,
    folder: Path,
    time_steps: Sequence[int] = (),
) -> None:
    """Draw the first test images and write them as PNG files; nothing where the task has no pictures.

    Args:
        cell: says which task it is and which time steps there are.
        module: Lightning module of the trained network.
        snn: its spiking twin.
        data: of both, set up.
        images: how many to draw.
        folder: created where it is missing.
        time_steps: when to read out; none for four of the matrix's.

    Raises:
        StoreError: the folder cannot be written.
    """
    settings = cell.settings
    task = settings.task
    if task.pictures is None or not images:
        return
    steps = tuple(sorted(set(time_steps))) or shown_time_steps(settings.time_steps)
    left = images
    for batch in islice(data.test_dataloader(), -(-images // settings.evaluation.batch_size)):
        few = (batch[0][:left], batch[1][:left])
        for drawn in task.pictures(module.cpu(), snn.cpu(), few, data, steps):
            write_atomically(folder / f"test_image_{images - left + 1:02d}.png", png(drawn))
            left -= 1


def shown_time_steps(time_steps: Sequence[int]) -> tuple[int, ...]:
    """The last time step, and those two, four and six places before it."""
    return tuple(time_steps[::-1][:7:2][::-1])
