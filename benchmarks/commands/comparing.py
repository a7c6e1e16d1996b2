"""The command `spikemark compare`: two recipes, or two results folders, side by side."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.commands.board_choice import Choice, board_choice
from benchmarks.commands.options import RESULTS, results_named, stop
from benchmarks.commands.reading import REFERENCES
from benchmarks.output import say, screen


@click.command()
@click.argument("first")
@click.argument("second")
@RESULTS
@click.option("--t", "limit", type=click.FloatRange(min=1), help="Run no network longer than this.")
@REFERENCES
@board_choice
def compare(
    first: str,
    second: str,
    results: Path,
    limit: float | None,
    with_references: bool,
    task: str | None,
    dataset: str | None,
    network: str | None,
    every: bool,
) -> None:
    """Explain how FIRST and SECOND differ: two recipes of RESULTS or the references, or two results folders.

    Recipes are named as on the leaderboard. Shows the settings that differ, the metric at every time step
    and in the end, time steps and energy to parity, and whether the test images tell the two apart (paired
    bootstrap, seeds pooled). Folders are compared row by row.

    Of several boards that have both, those with records of yours are shown, or the largest one where there
    are none, and the others in a sentence each; --task, --dataset, --network or --all show them too.
    """
    from benchmarks.commands.reading import read_records, with_shipped
    from leaderboard import rank
    from leaderboard.comparison.pairs import compare_folders, compare_recipes
    from leaderboard.comparison.tables import render_folders, render_others, render_pair
    from leaderboard.ranking.boards import at_limit

    console, choice = screen(), Choice(task, dataset, network, every)
    if Path(first).is_dir() and Path(second).is_dir():
        folders = [
            at_limit(choice.of(rank(read_records([Path(folder)]).records)), limit)
            for folder in (first, second)
        ]
        render_folders(*compare_folders(*folders), console)
        return
    loaded, origins = with_shipped([results], with_references, may_be_empty=not results_named())
    boards = choice.of(at_limit(rank(loaded.records, origins, leaders=True), limit, leaders=True))
    try:
        pairs = compare_recipes(boards, first, second)
    except ValueError as error:
        stop(f"{results}: {error}")
    with_both = [board for board in boards if board.title in {pair.title for pair in pairs}]
    opened = {board.title for board in choice.opened(with_both)}
    for pair in (pair for pair in pairs if pair.title in opened):
        render_pair(pair, console)
    if others := [pair for pair in pairs if pair.title not in opened]:
        render_others(others, console)
        say("--dataset, --network, --task or --all shows their tables.")
