"""The commands `spikemark new` and `spikemark check`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmarks.commands.options import DATA_ROOT, stop
from benchmarks.errors import PluginError
from benchmarks.output import say


@click.command()
@click.argument("kind", type=click.Choice(["recipe", "network", "dataset"]))
@click.argument("name")
@click.option(
    "--in",
    "where",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Folder to write into.  [default: the current one]",
)
def new(kind: str, name: str, where: Path) -> None:
    """Write a small package that adds a recipe, a network or a data set called NAME.

    It works as it is: a module with something simple to replace by your own, the entry point by which
    SpikeMark finds it, a test that runs the contract, and a matrix that puts it on a leaderboard.
    """
    from benchmarks.plugins.new import write_package

    try:
        written = write_package(kind, name, where)
    except PluginError as error:
        stop(str(error))
    folder = written.folder
    say(f"{written.module} is yours to change. Then:\n")
    for command, why in (
        (f"python -m pip install --no-deps -e {folder}", "once; SpikeMark finds it from then on"),
        (f"spikemark check {name}", "does it keep the contract?"),
        (f"spikemark run {folder / 'matrix.yaml'}", "puts it on the leaderboard"),
    ):
        say(f"  {command:<52}  # {why}")


@click.command()
@click.argument("name")
@DATA_ROOT
def check(name: str, data_root: Path | None) -> None:
    """Run the contract of a recipe, network or data set: what every one of them promises.

    NAME is a name, or a mapping with options as matrices have it, e.g. "{name: digits, size: 8}". Ends with
    an error where a promise is broken.
    """
    from benchmarks.plugins.check import judge
    from datamodules import DataError

    broken = 0
    try:
        for verdict in judge(name, data_root):
            say(f"{'broken' if verdict.broken else 'kept':<7} {verdict.kind}: {verdict.law}")
            if verdict.broken:
                broken += 1
                say(f"        {verdict.broken}")
    except (PluginError, DataError) as error:
        stop(str(error))
    if broken:
        say(f"\n{broken} promise(s) broken", err=True)
        sys.exit(1)
