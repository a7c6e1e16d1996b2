"""Pictures of what networks make of test images, and the command `spikemark pictures`, which draws more.

    <results>/pictures/<cell id>/*.png

The page shows them with their cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from benchmarks.errors import AnnError, MatrixError
from benchmarks.options import DATA_ROOT, RESULTS, stop
from benchmarks.output import screen

if TYPE_CHECKING:
    from benchmarks.cells import Cell
    from benchmarks.spec import Matrix
    from conversion import Converted
    from datamodules import DataModule


@click.command()
@click.argument("matrix")
@DATA_ROOT
@RESULTS
@click.option("--network", help="Label or name of one of the matrix's networks.  [default: the first]")
@click.option("--recipe", help="Label of a recipe of the matrix, or a preset.  [default: the first]")
@click.option("--images", type=click.IntRange(min=1), default=4, show_default=True, help="Test images.")
@click.option(
    "--t",
    "time_steps",
    type=click.IntRange(min=1),
    multiple=True,
    help="When to read out; may be given several times.  [default: four of the matrix's]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the pictures.  [default: where the page finds them, RESULTS/pictures/CELL]",
)
def pictures(
    matrix: str,
    data_root: Path | None,
    results: Path,
    network: str | None,
    recipe: str | None,
    images: int,
    time_steps: tuple[int, ...],
    out: Path | None,
) -> None:
    """Draw test images of MATRIX: ground truth, ANN, and the spiking network at growing t, side by side.

    Writes one PNG file an image. The network's first data set and seed are used; a network that nobody
    has trained is trained first. With `pictures: N` in a matrix, `spikemark run` draws them by itself.
    """
    from benchmarks.matrix import load, locate

    console = screen()
    try:
        chosen = load(locate(matrix))
    except MatrixError as error:
        stop(str(error))
    from benchmarks.runner import EXPLAINED

    try:
        folder = draw(chosen, data_root, results, console, network, recipe, images, time_steps, out)
    except EXPLAINED as error:
        stop(str(error))
    except (KeyboardInterrupt, SystemExit):  # Lightning turns an interrupt into an exit
        stop("interrupted; the same command goes on from the last whole epoch.", 130)
    console.print(f"pictures: {folder}", soft_wrap=True, highlight=False)


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
    from benchmarks import tasks
    from benchmarks.anns import AnnStore, trained_ann
    from benchmarks.data import evaluation_data
    from benchmarks.diagnose import cell_of, recipe_of
    from benchmarks.progress import Display
    from benchmarks.quiet import quieten
    from conversion import convert

    quieten()
    cell = cell_of(matrix, data_root, network)
    cell = replace(cell, recipe=recipe_of(cell.matrix, recipe))
    task = tasks.find(cell.matrix.task)
    if task.pictures is None:
        raise AnnError(
            f"matrix '{matrix.name}': there are no pictures for {task.name}, the task of {cell.network}; "
            "choose a network of another task with --network"
        )
    data = evaluation_data(cell.matrix, cell.ann)
    data.setup()
    with Display(console, 1) as display:
        ann = trained_ann(cell.matrix, cell, data, AnnStore(results), display).network
    module = task.module(ann, data, cell.matrix.training).eval()
    steps = cell.recipe.lengths(time_steps or some(cell.matrix.time_steps))
    snn = convert(ann, cell.recipe, data.calibration_batches(), time_steps=steps)
    folder = out or folder_of(cell, results)
    write_pictures(cell, module, snn, data, images, folder, time_steps)
    return folder


def folder_of(cell: Cell, results: Path) -> Path:
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
    from benchmarks import tasks
    from leaderboard.files import write_atomically
    from lightning_modules.pictures import png

    task = tasks.find(cell.matrix.task)
    if task.pictures is None or not images:
        return
    steps = tuple(sorted(set(time_steps))) or some(cell.matrix.time_steps)
    left = images
    for batch in islice(data.test_dataloader(), -(-images // cell.matrix.evaluation.batch_size)):
        few = (batch[0][:left], batch[1][:left])
        for drawn in task.pictures(module.cpu(), snn.cpu(), few, data, steps):
            write_atomically(folder / f"test_image_{images - left + 1:02d}.png", png(drawn))
            left -= 1


def some(time_steps: Sequence[int]) -> tuple[int, ...]:
    """The last time step, and those two, four and six places before it."""
    return tuple(time_steps[::-1][:7:2][::-1])
