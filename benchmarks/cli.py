"""The `spikemark` command.

Everything that needs torch is imported inside the command that needs it, so that
`spikemark leaderboard` and every --help answer at once.
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.comparing import compare
from benchmarks.errors import MatrixError
from benchmarks.exchange import export, import_
from benchmarks.execution.checking import check_results
from benchmarks.execution.commands import run, status, sync
from benchmarks.options import DATA_ROOT, RESULTS, stop
from benchmarks.output import printable, say, screen
from benchmarks.output.streams import Spikemark
from benchmarks.pictures import pictures
from benchmarks.plugins.command import check, new
from benchmarks.reading import leaderboard, published, results
from benchmarks.regression.command import regress
from benchmarks.tuning.command import tune

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=Spikemark, context_settings=HELP)
@click.version_option(package_name="spikemark")
def main() -> None:
    """Benchmark ANN-to-SNN conversion: accuracy versus time steps and energy, one leaderboard.

    \b
    Start here:
      spikemark run quickstart          needs no data, a few minutes on two cores
      spikemark status                  how far it is, from another terminal
      spikemark leaderboard             rank everything measured so far
      spikemark diagnose quickstart     where a conversion goes wrong, layer by layer
      spikemark list recipes            what a matrix can name
      spikemark describe spicalib       what a recipe does, and what is known of it
    """


@main.command()
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
    from benchmarks.runner import EXPLAINED
    from conversion.diagnosis.plot import check_format

    try:
        if plot is not None:
            check_format(plot)
    except (ImportError, ValueError) as error:
        stop(str(error))
    try:
        found = diagnose_matrix(chosen, data_root, results, console, network, recipe, images, time_steps)
    except EXPLAINED as error:
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


@main.command(name="list")
@click.argument("what", type=click.Choice(["recipes", "networks", "datasets", "matrices", "energy"]))
def list_(what: str) -> None:
    """List the recipes (by fairness group), networks, datasets, matrices or energy models there are."""
    for heading, entries in _listing(what).items():
        if heading:
            say(f"{heading}:")
        for name, summary in entries:
            say(f"{'  ' if heading else ''}{printable(name):<18} {printable(summary)}")


@main.command()
@click.argument("recipe")
@RESULTS
def describe(recipe: str, results: Path) -> None:
    """Say what RECIPE does and needs, and what is known of it.

    RECIPE is a preset's name, or a mapping as matrices have it, e.g. "{preset: burst, neuron: {gamma: 10}}".
    Shows its parts with parameters and search ranges, its spikes and fairness group, what it needs before
    it can convert, what was measured in RESULTS, and what papers report.
    """
    from benchmarks.describe import parse, show_known, show_recipe
    from conversion import RecipeError
    from leaderboard import StoreError

    console = screen()
    try:
        chosen = parse(recipe)
        show_recipe(chosen, console)
        show_known(chosen.name, results, console)
    except (RecipeError, StoreError) as error:
        stop(str(error))


def _listing(what: str) -> dict[str, list[tuple[str, str]]]:
    """Heading -> names with one line each."""
    if what == "matrices":
        from benchmarks.matrix import bundled
        from leaderboard.files.yaml_files import read_file

        read = {name: read_file(path).content for name, path in bundled().items()}
        return {"": [(name, content.get("description", "")) for name, content in read.items()]}
    if what == "energy":
        import energy

        return {"": [(name, f"{model.summary}. {model.source}.") for name, model in energy.models().items()]}
    if what == "recipes":
        from conversion import recipe_from, recipe_names
        from leaderboard.ranking.wording import GROUP_TITLES

        recipes = [recipe_from(name) for name in recipe_names()]
        return {
            GROUP_TITLES[group]: [(each.name, each.summary) for each in recipes if each.group == group]
            for group in GROUP_TITLES
        }
    if what == "networks":
        from lightning_modules import networks

        return {"": [(name, networks.describe(name)) for name in networks.names()]}
    from datamodules import registry

    return {"": [(name, registry.describe(name)) for name in registry.names()]}


for command in (
    run,
    status,
    sync,
    export,
    import_,
    leaderboard,
    compare,
    published,
    results,
    tune,
    pictures,
    new,
    check,
    check_results,
    regress,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
