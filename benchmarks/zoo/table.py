"""The rows as a table of Markdown, and its place in a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from benchmarks.output.marked_page import write_between
from benchmarks.zoo.row import GAMMAS, SEED, TIME_STEPS, Row

BEGIN, END = "<!-- coverage: python -m benchmarks.zoo -->", "<!-- end of coverage -->"


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """The table, line by line."""
    columns = [f"γ {gamma}, t = {t}" for gamma in GAMMAS for t in TIME_STEPS]
    yield (
        "| " + " | ".join(("network", "pixels", "verdict", "spiking share", "amplification", *columns)) + " |"
    )
    yield "| --- |" + " --- |" * (4 + len(columns))
    for row in rows:
        share = "" if row.share is None else f"{row.share:.1%}"
        larger = "" if row.amplification is None else f"{row.amplification:.1f}"
        found = [f"{one:.4f}" for gamma in GAMMAS for one in row.distances.get(str(gamma), ())]
        found += [""] * (len(columns) - len(found))
        yield "| " + " | ".join((row.network, str(row.size), row.verdict, share, larger, *found)) + " |"


def write_into(page: Path, rows: Iterable[Row]) -> None:
    """Put the table, and what it was made with, between its marks in a page.

    Raises:
        ValueError: the page has no marks.
    """
    about = (
        f"Written by `python -m benchmarks.zoo --page docs/functions.md`, with torch {version('torch')} and "
        f"torchvision\n{version('torchvision')}: random weights and standard normal images of seed {SEED}."
    )
    write_between(page, BEGIN, END, (about, "", *lines(rows)))
