"""Names of images in lists and annotation files: where they lead, and lists in VOC's layout.

A list has a name a line. Lists of one class have a second column: 1 for an image that shows the class, -1 for
one that does not, 0 for one that shows only difficult objects of it. All of these images belong to the list.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from datamodules.errors import DataError

MARKS = ("1", "-1", "0")
_TWO_COLUMNS = re.compile(r"(?P<name>.*\S)\s+(?P<mark>[-+]?\d+)")


def is_inside(name: str) -> bool:
    """Whether a name can only lead to a file below its folder, on any system: not absolute, without ".."."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return "\0" not in name and all(p.name and not p.anchor and ".." not in p.parts for p in paths)


def read_lines(file: Path) -> dict[int, str]:
    """Return the lines of a text file that are not empty, by their number, without space around them.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    text = file.read_text(encoding="utf-8-sig")
    return {number: line.strip() for number, line in enumerate(text.splitlines(), 1) if line.strip()}


def listed_names(file: Path, images: Path) -> list[str]:
    """Read a list of images.

    Args:
        file: the list.
        images: folder of the images, which decides whether "a 1" is a name or a name with a second column.

    Returns:
        Names without an ending, in the list's order.

    Raises:
        OSError: the list cannot be read.
        UnicodeDecodeError: it is not UTF-8.
        DataError: an image is named twice, a second column is none that VOC knows, or a name leads out of the
            folder; names the file and the line.
    """
    lines: dict[str, int] = {}
    for number, line in read_lines(file).items():
        place = f"{file}:{number}"
        there = os.path.isfile(images / f"{line}.jpg")  # False, too, for a line that can be no name
        name = line if there else _first_column(line, place)
        if not is_inside(name):
            raise DataError(f"{place}: {name!r} does not name an image inside {images}")
        if name in lines:
            raise DataError(f"{place} names the image {name!r} again, after line {lines[name]}; keep one")
        lines[name] = number
    return list(lines)


def _first_column(line: str, place: str) -> str:
    columns = _TWO_COLUMNS.fullmatch(line)
    if columns is None:
        return line
    if columns["mark"] not in MARKS:
        raise DataError(f"{place}: the second column must be 1, -1 or 0, got {columns['mark']!r}")
    return columns["name"]
