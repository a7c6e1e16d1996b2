"""The command `spikemark diagnose`."""

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
@click.option("--network", help="Network of the matrix, by name or label.  [default: the first]")
@click.option(
    "--recipe", help="Recipe of the matrix, by label, or any preset's name.  [default: the matrix's first]"
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Training images to compare the networks on; none of them is used for calibration.",
)
@click.option(
    "--t",
    "time_steps",
    type=click.IntRange(min=1),
    multiple=True,
    default=(8, 32),
    show_default=True,
    help="Time step to compare at; may be given several times.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also draw the errors over depth into this file, e.g. errors.png.",
)
def diagnose(
    matrix: str,
    data_root: Path | None,
    results: Path,
    network: str | None,
    recipe: str | None,
    images: int,
    time_steps: tuple[int, ...],
    plot: Path | None,
) -> None:
    """Show where a conversion of MATRIX goes wrong, layer by layer.

    Compares the activations of a network on the matrix's first data set with the rates of its spiking
    twin, and splits the error into clipping, quantisation, wrong input from the layers before, and
    unevenness (right input at the wrong time). A network that nobody has trained is trained first.
    """
    from benchmarks.matrix import load, locate

    console = screen()
    try:
        chosen = load(locate(matrix))
    except MatrixError as error:
        stop(str(error))
    from benchmarks.diagnose import diagnose_matrix, show
    from benchmarks.user_errors import USER_ERRORS
    from conversion.diagnosis.plot import check_format

    try:
        if plot is not None:
            check_format(plot)
    except (ImportError, ValueError) as error:
        stop(str(error))
    try:
        found = diagnose_matrix(chosen, data_root, results, console, network, recipe, images, time_steps)
    except USER_ERRORS as error:
        stop(str(error))
    except (KeyboardInterrupt, SystemExit):  # Lightning turns an interrupt into an exit
        stop("interrupted; the same command goes on from the last whole epoch.", 130)
    show(found, console)
    if plot is not None:
        try:
            found.plot(plot)
        except OSError as error:
            stop(f"cannot write {plot}: {error}")
        console.print(f"plot:    {plot}", soft_wrap=True, highlight=False)
