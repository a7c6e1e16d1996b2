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

from leaderboard.files.atomic import StoreError
from leaderboard.ranking.boards import Board, at_limit, only_groups, rank
from leaderboard.ranking.rows import Row
from leaderboard.records.record import SCHEMA_VERSION, Record
from leaderboard.reports.frame import frame, load
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

if TYPE_CHECKING:
    from leaderboard.page.html import write_page
    from leaderboard.published import load_published, render_published, select_published
    from leaderboard.reports.markdown import markdown_report, write_report
    from leaderboard.reports.plots import plot
    from leaderboard.reports.tables import render

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

# What only some callers need, and what takes longer to import than most folders take to rank.
_ON_DEMAND = {
    "load_published": "leaderboard.published",
    "markdown_report": "leaderboard.reports.markdown",
    "plot": "leaderboard.reports.plots",
    "render": "leaderboard.reports.tables",
    "render_published": "leaderboard.published",
    "select_published": "leaderboard.published",
    "write_page": "leaderboard.page.html",
    "write_report": "leaderboard.reports.markdown",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ON_DEMAND[name]), name)
