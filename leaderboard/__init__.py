"""Records in, rankings out.

A benchmark run leaves one JSON file per cell (one network, one recipe, one seed). This package reads
those files and answers the question they were measured for: which recipe turns this trained network
into a spiking one with the least loss, in the fewest time steps, for the least energy?

    loaded = ResultStore("results").load()
    boards = rank(loaded.records)
    render(boards, Console())
    write_page(boards, "results/index.html", invalid=loaded.invalid)
    frame = load("results")  # the same as a pandas DataFrame
    plot(boards[0])  # a matplotlib figure

The rooms, in reading order; each knows only those before it:

    files        written all or nothing; YAML read with care
    scores       what a record keeps of every test image
    records      what a record holds
    statistics   derived figures and their intervals
    store        the folder of results
    ranking      rows and boards, and how figures are said
    costs        boards under energy models
    published    what papers report
    reports      for the terminal, papers and programs
    page         one HTML file

Beside them stand `comparison` (two recipes) and `regression` (what has moved since a baseline). Nothing here
needs torch, so it runs on any machine that has the JSON files.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leaderboard.files.atomic import StoreError
    from leaderboard.page.html import write_page
    from leaderboard.published import load_published, render_published, select_published
    from leaderboard.ranking.boards import Board, at_limit, only_groups, rank
    from leaderboard.ranking.rows import Row
    from leaderboard.records.record import SCHEMA_VERSION, Record
    from leaderboard.reports.frame import frame, load
    from leaderboard.reports.markdown import markdown_report, write_report
    from leaderboard.reports.plots import plot
    from leaderboard.reports.tables import render
    from leaderboard.scores.proportions import decode_outcomes, encode_outcomes
    from leaderboard.statistics.figures import (
        energy_at_parity,
        metric_at,
        pareto_front,
        snn_minus_ann,
        snn_minus_snn,
        time_steps_to_parity,
    )
    from leaderboard.statistics.intervals import Difference, Interval, paired_bootstrap, wilson_interval
    from leaderboard.store.results import Invalid, Loaded, ResultStore

__all__ = [
    "SCHEMA_VERSION",
    "Board",
    "Difference",
    "Interval",
    "Invalid",
    "Loaded",
    "Record",
    "ResultStore",
    "Row",
    "StoreError",
    "at_limit",
    "decode_outcomes",
    "encode_outcomes",
    "energy_at_parity",
    "frame",
    "load",
    "load_published",
    "markdown_report",
    "metric_at",
    "only_groups",
    "paired_bootstrap",
    "pareto_front",
    "plot",
    "rank",
    "render",
    "render_published",
    "select_published",
    "snn_minus_ann",
    "snn_minus_snn",
    "time_steps_to_parity",
    "wilson_interval",
    "write_page",
    "write_report",
]

# Where each name is defined: most callers need few, and importing all takes as long as ranking a folder.
_HOMES = {
    "Board": "leaderboard.ranking.boards",
    "Difference": "leaderboard.statistics.intervals",
    "Interval": "leaderboard.statistics.intervals",
    "Invalid": "leaderboard.store.results",
    "Loaded": "leaderboard.store.results",
    "Record": "leaderboard.records.record",
    "ResultStore": "leaderboard.store.results",
    "Row": "leaderboard.ranking.rows",
    "SCHEMA_VERSION": "leaderboard.records.record",
    "StoreError": "leaderboard.files.atomic",
    "at_limit": "leaderboard.ranking.boards",
    "decode_outcomes": "leaderboard.scores.proportions",
    "encode_outcomes": "leaderboard.scores.proportions",
    "energy_at_parity": "leaderboard.statistics.figures",
    "frame": "leaderboard.reports.frame",
    "load": "leaderboard.reports.frame",
    "load_published": "leaderboard.published",
    "markdown_report": "leaderboard.reports.markdown",
    "metric_at": "leaderboard.statistics.figures",
    "only_groups": "leaderboard.ranking.boards",
    "paired_bootstrap": "leaderboard.statistics.intervals",
    "pareto_front": "leaderboard.statistics.figures",
    "plot": "leaderboard.reports.plots",
    "rank": "leaderboard.ranking.boards",
    "render": "leaderboard.reports.tables",
    "render_published": "leaderboard.published",
    "select_published": "leaderboard.published",
    "snn_minus_ann": "leaderboard.statistics.figures",
    "snn_minus_snn": "leaderboard.statistics.figures",
    "time_steps_to_parity": "leaderboard.statistics.figures",
    "wilson_interval": "leaderboard.statistics.intervals",
    "write_page": "leaderboard.page.html",
    "write_report": "leaderboard.reports.markdown",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
