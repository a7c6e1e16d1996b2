"""Notes of runs: which cells a matrix has, so that others can say how far it is."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter

from benchmarks.coordination.kinds import Kind
from leaderboard.files.atomic import write_text_atomically
from leaderboard.files.plain_files import LARGE, read_as
from leaderboard.records.fields import LONGEST_TEXT, Text
from leaderboard.store.results import CELL_ID

Id = Annotated[str, Field(pattern=f"^{CELL_ID.pattern}$")]


@dataclass(frozen=True)
class NotedCell:
    """A cell, by the names of its files."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    id: Id
    ann: Id
    title: Text
    kind: Kind | None = None  # None: noted by an older SpikeMark


@dataclass(frozen=True)
class Note:
    """The latest run of a matrix."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    matrix: Text
    started: Annotated[float, Field(ge=0, lt=1e11)]  # Unix time
    at_once: (
        Annotated[int, Field(ge=1, lt=2**31)] | None
    )  # jobs at a time; None: as many as the cluster gives
    cells: tuple[NotedCell, ...]


_NOTE = TypeAdapter(Note)


class Notes:
    """The notes of a results folder."""

    def __init__(self, results: Path) -> None:
        self._folder = results / "runs"

    def write(self, matrix: str, cells: list[NotedCell], at_once: int | None) -> Path:
        """Note a run, in place of the matrix's earlier one.

        Raises:
            StoreError: the folder cannot be written.
        """
        path = self._folder / f"{matrix}.json"
        short = (replace(cell, title=cell.title[:LONGEST_TEXT]) for cell in cells)
        note = Note(matrix, time.time(), at_once, tuple(short))
        write_text_atomically(path, json.dumps(asdict(note)) + "\n")
        return path

    def load(self) -> list[Note]:
        """All notes that can be read, the latest run last."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            note = read_note(path)
            if note is not None:  # else written again by the next run
                found.append(note)
        return sorted(found, key=lambda note: note.started)


def read_note(path: Path) -> Note | None:
    """The note in a file; None where there is none that can be read."""
    try:
        return read_as(_NOTE, path, LARGE)
    except (OSError, ValueError):
        return None
