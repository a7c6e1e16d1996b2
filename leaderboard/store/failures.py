"""Failures: what became of cells without a record, as data.

    <folder>/failures/<id>.json

One file for each cell that failed, and one for each network that could not be trained or loaded. A later
success removes it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field

from leaderboard.files.atomic import StoreError, write_text_atomically
from leaderboard.files.plain_files import LARGE, read_plain
from leaderboard.records.fields import LONGEST_TEXT, Text
from leaderboard.records.record import Frozen
from leaderboard.store.results import CELL_ID

FAILURE_SCHEMA_VERSION = 1


class Failure(Frozen):
    """Why there is no record, or no network."""

    schema_version: int = FAILURE_SCHEMA_VERSION
    id: str = Field(pattern=r"^[0-9a-f]{16}$")  # of the cell, or of the network
    kind: Literal["cell", "network"]
    matrix: Text
    title: Text
    error: Text  # name of the exception's class
    message: str
    traceback: str | None = None  # None where the process was killed
    # Data, weights or folders were not as they must be: the next run tries again by itself.
    outside_cause: bool = Field(
        validation_alias=AliasChoices("outside_cause", "mendable"), serialization_alias="mendable"
    )
    worker: Text  # e.g. "process 4711 on node7"
    created: str  # ISO 8601, UTC
    versions: dict[str, str]

    @property
    def why(self) -> str:
        """What people are told: the message where it explains itself, else the traceback."""
        return self.message if self.outside_cause or self.traceback is None else self.traceback

    @property
    def summary(self) -> str:
        """The error and the first line of its message; what follows is detail, and advice to programmers."""
        return f"{self.error}: {(self.message.strip().splitlines() or [''])[0][:LONGEST_TEXT]}"


class FailureStore:
    """Reads and writes the failures of a results folder."""

    def __init__(self, results: Path) -> None:
        self._folder = results / "failures"

    def write(self, failure: Failure) -> Path:
        """Keep a failure, all or nothing.

        Raises:
            StoreError: the folder cannot be written.
        """
        path = self._folder / f"{failure.id}.json"
        text = json.dumps(failure.model_dump(by_alias=True), indent=1)  # escaped, whatever a message holds
        write_text_atomically(path, text + "\n")
        return path

    def get(self, id_: str) -> Failure | None:
        """The failure of a cell or network; None if there is none, or none that can be read."""
        path = self._folder / f"{id_}.json"
        if CELL_ID.fullmatch(id_) is None:
            return None
        try:
            failure = Failure.model_validate(json.loads(read_plain(path, LARGE)))
        except (OSError, ValueError, RecursionError):
            return None
        return failure if failure.id == id_ else None

    def clear(self, id_: str) -> None:
        """Forget a failure.

        Raises:
            StoreError: the folder cannot be written.
        """
        path = self._folder / f"{id_}.json"
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {path}: {error.strerror or error}") from error

    def load(self) -> dict[str, Failure]:
        """All failures by id."""
        found = (self.get(path.stem) for path in sorted(self._folder.glob("*.json")))
        return {failure.id: failure for failure in found if failure is not None}
