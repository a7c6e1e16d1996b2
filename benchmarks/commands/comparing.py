"""The command `spikemark compare`: two recipes, or two results folders, side by side."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.commands.options import RESULTS, results_named, stop
from benchmarks.commands.reading import REFERENCES
from benchmarks.output import screen


@click.command()
@click.argument("first")
@click.argument("second")
@RESULTS
@click.option("--t", "limit", type=click.FloatRange(min=1), help="Run no network longer than this.")
@REFERENCES
def compare(first: str, second: str, results: Path, limit: float | None, with_references: bool) -> None:
    """Explain how FIRST and SECOND differ: two recipes of RESULTS or the references, or two results folders.

    Recipes are named as on the leaderboard. Shows the settings that differ, the metric at every time step
    and in the end, time steps and energy to parity, and whether the test images tell the two apart (paired
    bootstrap, seeds pooled). Folders are compared row by row.
    """
    from benchmarks.commands.reading import read_records, with_shipped
    from leaderboard import rank
    from leaderboard.comparison.pairs import compare_folders, compare_recipes
    from leaderboard.comparison.tables import render_folders, render_pair
    from leaderboard.ranking.boards import at_limit

    console = screen()
    if Path(first).is_dir() and Path(second).is_dir():
        boards = [at_limit(rank(read_records([Path(folder)]).records), limit) for folder in (first, second)]
        render_folders(*compare_folders(*boards), console)
        return
    try:
        loaded, origins = with_shipped([results], with_references, may_be_empty=not results_named())
        pairs = compare_recipes(at_limit(rank(loaded.records, origins), limit), first, second)
    except ValueError as error:
        stop(f"{results}: {error}")
    for pair in pairs:
        render_pair(pair, console)
