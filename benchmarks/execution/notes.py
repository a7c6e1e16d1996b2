"""Notes of runs: which cells a matrix has, so that others can say how far it is."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from leaderboard.files import write_text_atomically
from leaderboard.store import CELL_ID


@dataclass(frozen=True)
class NotedCell:
    """A cell, by the names of its files."""

    id: str
    ann: str
    title: str


@dataclass(frozen=True)
class Note:
    """The latest run of a matrix."""

    matrix: str
    started: float  # Unix time
    at_once: int | None  # jobs at a time; None: as many as the cluster gives
    cells: tuple[NotedCell, ...]


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
        note = Note(matrix, time.time(), at_once, tuple(cells))
        write_text_atomically(path, json.dumps(asdict(note)) + "\n")
        return path

    def load(self) -> list[Note]:
        """All notes that can be read, the latest run last."""
        found = []
        for path in filter(Path.is_file, sorted(self._folder.glob("*.json"))):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                cells = tuple(NotedCell(**cell) for cell in content.pop("cells"))
                if all(CELL_ID.fullmatch(id_) for cell in cells for id_ in (cell.id, cell.ann)):
                    found.append(Note(**content, cells=cells))
            except (OSError, ValueError, TypeError, KeyError, RecursionError):
                continue  # written again by the next run
        return sorted(found, key=lambda note: note.started)
