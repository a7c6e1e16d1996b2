"""The one error that data modules raise, and the words that every missing data set shares."""

from __future__ import annotations

from pathlib import Path

ROOT_VARIABLE = "SPIKEMARK_DATA"
HOW_TO_PASS_ROOT = (
    "Name the folder that holds your data sets with --data-root DIR"
    f" or the {ROOT_VARIABLE} environment variable."
)


class DataError(ValueError):
    """Data is missing, damaged, contradictory, or asked for with a wrong option.

    It takes one message, so that a loader's worker process can hand it over unchanged.
    """


def missing_data(problem: str, folder: Path, layout: str) -> DataError:
    """Build the error for files that are not there.

    Args:
        problem: what is missing, one sentence without a full stop.
        folder: the folder that was looked in.
        layout: drawing of the expected files, one line each.

    Returns:
        An error naming the folder, drawing the layout and saying how to pass another folder.
    """
    drawing = "\n".join(f"    {line}" for line in layout.strip("\n").splitlines())
    return DataError(f"{problem}.\nLooked in: {folder}\nExpected layout:\n{drawing}\n{HOW_TO_PASS_ROOT}")
