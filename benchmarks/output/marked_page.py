"""A table that a command writes into a page of the documentation, between two marks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def write_between(page: Path, begin: str, end: str, lines: Iterable[str]) -> None:
    """Put lines between two marks, in place of what stands there; the marks stay.

    Raises:
        ValueError: the page does not have each mark once.
    """
    text = page.read_text()
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{page} has no place for the table: it needs the lines {begin} and {end}")
    before, _, rest = text.partition(begin)
    page.write_text(before + "\n".join((begin, "", *lines, "", end)) + rest.partition(end)[2])
