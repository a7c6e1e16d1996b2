"""The command `spikemark pictures`: what a network and its spiking twin make of some test images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from benchmarks.errors import AnnError, MatrixError
from benchmarks.options import DATA_ROOT, RESULTS, stop

if TYPE_CHECKING:
    from benchmarks.spec import Matrix


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
    help="When to read out; may be given several times.  [default: three of the matrix's]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the pictures.  [default: RESULTS/pictures/NAME]",
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

    Writes one PNG file an image, and a piece of HTML that carries them. The matrix's first data set and
    seed are used; a network that nobody has trained is trained first.
    """
    from benchmarks.matrix import load, locate

    console = Console()
    try:
        chosen = load(locate(matrix))
    except MatrixError as error:
        stop(str(error))
    from benchmarks.runner import EXPLAINED

    steps = tuple(sorted(set(time_steps))) or _some(chosen.time_steps)
    try:
        piece = draw(chosen, data_root, results, console, network, recipe, images, steps, out)
    except EXPLAINED as error:
        stop(str(error))
    except (KeyboardInterrupt, SystemExit):  # Lightning turns an interrupt into an exit
        stop("interrupted; the same command goes on from the last whole epoch.", 130)
    console.print(f"pictures: {piece}", soft_wrap=True, highlight=False)


def draw(
    matrix: Matrix,
    data_root: Path | None,
    results: Path,
    console: Console,
    network: str | None,
    recipe: str | None,
    images: int,
    time_steps: Sequence[int],
    out: Path | None,
) -> Path:
    """Convert a network of a matrix as a run would, and draw what both make of the first test images.

    Returns:
        The piece of HTML, in a folder with the PNG files.

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
    from benchmarks.runner import quieten
    from conversion import convert
    from lightning_modules.pictures import write_pictures

    quieten()
    cell, chosen = cell_of(matrix, data_root, network), recipe_of(matrix, recipe)
    task = tasks.find(matrix.task)
    if task.pictures is None:
        raise AnnError(f"matrix '{matrix.name}': there are no pictures for {task.name}")
    data = evaluation_data(matrix, cell.ann)
    data.setup()
    with Display(console, 1) as display:
        ann = trained_ann(matrix, cell, data, AnnStore(results), display).network
    module = task.module(ann, data, matrix.training).eval()
    snn = convert(ann, chosen, data.calibration_batches())
    drawn = []
    for batch in islice(data.test_dataloader(), -(-images // matrix.evaluation.batch_size)):
        drawn += task.pictures(module, snn, batch, data, time_steps)
    folder = out or results / "pictures" / matrix.name
    return write_pictures(drawn[:images], folder, f"{cell.network}-{chosen.name}")


def _some(time_steps: Sequence[int]) -> tuple[int, ...]:
    """The last time step, and those two and four places before it."""
    return tuple(time_steps[::-1][:5:2][::-1])
