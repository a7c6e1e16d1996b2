"""What lies beside records for the page: pictures of cells.

    <folder>/pictures/<cell id>/*.png

Each picture is shown with its cell, in the order of the file names, which are also its captions.
"""

from __future__ import annotations

import base64
import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from leaderboard.files.plain_files import read_plain

LARGEST = 2_000_000  # bytes of one picture; larger ones stay outside the page, and are named there
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A picture of one cell."""

    caption: str
    data: str | None  # PNG in base64; None: too large for a page

    @property
    def uri(self) -> str | None:
        """The picture as the address of an <img>."""
        return None if self.data is None else f"data:image/png;base64,{self.data}"


Pictures = Mapping[str, list[Picture]]  # cell id -> its pictures


def load_pictures(results: Path) -> dict[str, list[Picture]]:
    """Every picture of a results folder; files that are no PNG are passed over."""
    found: dict[str, list[Picture]] = {}
    for path in sorted((results / "pictures").glob("*/[!.]*.png")):
        try:
            data = _packed(path)
        except (OSError, ValueError):
            continue
        found.setdefault(path.parent.name, []).append(Picture(path.stem.replace("_", " "), data))
    return found


def _packed(path: Path) -> str | None:
    """A picture in base64; None where it is too large.

    Raises:
        OSError, ValueError: it is no picture, or cannot be read.
    """
    try:
        content = read_plain(path, LARGEST)
    except OSError as error:
        if error.errno == errno.EFBIG:
            return None
        raise
    if not content.startswith(_PNG):
        raise ValueError("no PNG")
    return base64.b64encode(content).decode("ascii")
