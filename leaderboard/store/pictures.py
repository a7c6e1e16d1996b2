"""What lies beside records for the page: pictures of cells.

    <folder>/pictures/<cell id>/*.png

Each picture is shown with its cell, in the order of the file names, which are also its captions.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
    for path in filter(Path.is_file, sorted((results / "pictures").glob("*/*.png"))):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if content.startswith(_PNG):
            data = base64.b64encode(content).decode("ascii") if len(content) <= LARGEST else None
            found.setdefault(path.parent.name, []).append(Picture(path.stem.replace("_", " "), data))
    return found
