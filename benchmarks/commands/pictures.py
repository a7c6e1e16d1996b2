"""The command `spikemark pictures`, which draws more pictures than a matrix asks for."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.commands.options import DATA_ROOT, RESULTS, stop
from benchmarks.errors import MatrixError
from benchmarks.output import screen


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
    from benchmarks.drawing import draw
    from benchmarks.user_errors import USER_ERRORS

    try:
        folder = draw(chosen, data_root, results, console, network, recipe, images, time_steps, out)
    except USER_ERRORS as error:
        stop(str(error))
    except (KeyboardInterrupt, SystemExit):  # Lightning turns an interrupt into an exit
        stop("interrupted; the same command goes on from the last whole epoch.", 130)
    console.print(f"pictures: {folder}", soft_wrap=True, highlight=False)
