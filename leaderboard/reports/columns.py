"""Aligned columns of text, for tables of hundreds of rows.

rich measures and styles every cell of its tables several times: a quarter of the time in which a
leaderboard of 2,000 records has to appear. Here a cell is plain text, padded once.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

RULE = "─"


@dataclass(frozen=True)
class Column:
    """How a column looks.

    Attributes:
        head: its title, perhaps of several lines.
        right: cells end, not begin, at the same place.
        least: how narrow it may get by folding its cells, where the table is too wide; 0: it may not.
    """

    head: str
    right: bool = True
    least: int = 0


def header(columns: Sequence[Column], widths: Sequence[int], gap: int = 1) -> list[str]:
    """Lines of the titles, bottom-aligned, and the rule below them."""
    heads = [column.head.split("\n") for column in columns]
    depth = max(map(len, heads))
    cells = ["\n".join([*[""] * (depth - len(head)), *head]) for head in heads]
    return [*lines(columns, widths, cells, gap), RULE * (sum(widths) + gap * (len(widths) - 1))]


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, gap: int = 1) -> list[int]:
    """Width of each column, so that all rows fit into `width`, if folding can do that; the last folds first.

    Args:
        columns: how they look.
        rows: the cells, each perhaps of several lines; a row may end early.
        width: of the terminal.
        gap: spaces between columns.
    """
    widths = [max(max(map(cell_len, column.head.split("\n"))), column.least) for column in columns]
    for row in rows:
        for index, cell in enumerate(row):
            widths[index] = max(widths[index], *map(cell_len, cell.split("\n")))
    over = sum(widths) + gap * (len(widths) - 1) - width
    for index, column in reversed(list(enumerate(columns))):
        if column.least and over > 0:
            less = max(column.least, widths[index] - over)
            over -= widths[index] - less
            widths[index] = less
    return widths


def lines(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str], gap: int = 1) -> list[str]:
    """The lines of one row, without spaces at their ends."""
    cells = [_folded(cell, width) for cell, width in zip(row, widths, strict=False)]
    depth = max(map(len, cells))
    padded = [
        [_padded(line, width, column.right) for line in [*cell, *[""] * (depth - len(cell))]]
        for cell, width, column in zip(cells, widths, columns, strict=False)
    ]
    return [(" " * gap).join(line).rstrip() for line in zip(*padded, strict=True)]


def _folded(cell: str, width: int) -> list[str]:
    """Lines of a cell, none wider than its column."""
    found: list[str] = []
    for line in cell.split("\n"):
        fits = cell_len(line) <= width
        found += [line] if fits else textwrap.wrap(line, width, break_on_hyphens=False)
    return found


def _padded(text: str, width: int, right: bool) -> str:
    spaces = " " * (width - cell_len(text))
    return spaces + text if right else text + spaces
