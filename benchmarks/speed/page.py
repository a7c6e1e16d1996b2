"""The table of ratios in the documentation: `python -m benchmarks.speed.page PAGE SAVED.json ...`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.output.marked_page import write_between
from benchmarks.speed.ratios import ANN, LOOP, PRECISIONS, UNCOMPILED, geometric_mean

BEGIN, END = "<!-- speed: python -m benchmarks.speed.page -->", "<!-- end of speed -->"
SHOWN = (*PRECISIONS, UNCOMPILED)
Saved = dict[str, Any]  # one row as `Row.as_json` gives it


def lines(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The table, line by line: a network and a recipe in each, with every number of images.

    Args:
        runs: what `python -m benchmarks.speed --save` wrote, of one machine; of a row that several hold, the
            last one's counts.
    """
    rows = {
        (row["network"], row["recipe"], row["images"]): row
        for run in runs
        for row in run["rows"]
        if row["refused"] is None
    }
    batches = sorted({images for _, _, images in rows})
    headings = ["network", "recipe"]
    for images in batches:
        headings += [f"{images} im.: {SHOWN[0]}", *SHOWN[1:], "loop / ANN"]
    yield "| " + " | ".join(headings) + " |"
    yield "| --- | --- |" + " ---: |" * (len(headings) - 2)
    for network, recipe in dict.fromkeys((network, recipe) for network, recipe, _ in rows):
        cells = [cell for images in batches for cell in _cells(rows.get((network, recipe, images)))]
        yield f"| {network} | `{recipe}` | " + " | ".join(cells) + " |"
    at = {images: [row for key, row in rows.items() if key[2] == images] for images in batches}
    means = [cell for images in batches for cell in _means(at[images])]
    yield "| **geometric mean** | | " + " | ".join(means) + " |"


def _cells(row: Saved | None) -> list[str]:
    if row is None:
        return [""] * (len(SHOWN) + 1)
    ratios = [f"{row['ratios'][name]:.2f}" if name in row["ratios"] else "" for name in SHOWN]
    return [*ratios, f"{row['seconds'][LOOP] / row['time_steps'] / row['seconds'][ANN]:.2f}"]


def _means(rows: Sequence[Saved]) -> list[str]:
    found = [[row["ratios"][name] for row in rows if name in row["ratios"]] for name in SHOWN]
    return [*(f"**{geometric_mean(ratios):.2f}**" if ratios else "" for ratios in found), ""]


def main() -> None:
    """Write the table of saved runs into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="page with the marks of the table")
    parser.add_argument("saved", type=Path, nargs="+", help="files that `--save` wrote on one machine")
    arguments = parser.parse_args()
    runs = [json.loads(path.read_text()) for path in arguments.saved]
    devices = sorted({run["device"] for run in runs})
    if len(devices) > 1:
        raise ValueError(f"a table is of one machine, not of {' and '.join(devices)}")
    commits = ", ".join(dict.fromkeys(f"`{run['commit'][:7]}`" for run in runs))
    about = f"Commit {commits}, torch {runs[0]['versions']['torch']}, {devices[0]}."
    write_between(arguments.page, BEGIN, END, (about, "", *lines(runs)))


if __name__ == "__main__":
    main()
