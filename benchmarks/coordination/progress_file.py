"""How far a piece of work is, in a small file that other processes can read."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter

from leaderboard.files.plain_files import read_as

EVERY = 0.5  # seconds between two writes

Count = Annotated[int, Field(ge=0, lt=2**63)]
Word = Annotated[str, Field(max_length=256)]


@dataclass(frozen=True)
class Progress:
    """One moment of a piece of work.

    Attributes:
        stage: what is done, e.g. "training" or "testing".
        done: units that are over.
        total: units in all; 0 where nobody knows.
        unit: e.g. "epochs" or "batches".
        t: time step that the spiking network has reached in this unit; None where there is none.
        last: the last time step.
    """

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    stage: Word
    done: Count = 0
    total: Count = 0
    unit: Word = ""
    t: Count | None = None
    last: Count | None = None

    def __str__(self) -> str:
        known = f" of {self.total}" if self.total else ""
        text = f"{self.stage}, {self.done}{known} {self.unit}" if self.unit else self.stage
        return text if self.t is None else f"{text}, t = {self.t} of {self.last}"


_PROGRESS = TypeAdapter(Progress)


class ProgressFile:
    """Writes and reads progress; may be pickled, so that a training's own processes can report.

    Quick work leaves no trace: the first write comes `EVERY` seconds after the work began.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = time.monotonic()
        self._now = self._shown = Progress("")

    @staticmethod
    def of(claim: Path) -> ProgressFile:
        """The progress beside a claim."""
        return ProgressFile(claim.with_suffix(".progress"))

    def begin(self, stage: str, total: int = 0, unit: str = "", last: int | None = None) -> None:
        """Another stage begins."""
        self._report(Progress(stage, 0, total, unit, None, last))

    def step(self, done: int, total: int) -> None:
        """`done` of `total` units are over."""
        self._report(replace(self._now, done=done, total=total, t=None))

    def at(self, t: int) -> None:
        """The spiking network has reached time step `t`."""
        self._report(replace(self._now, t=t))

    def read(self) -> Progress | None:
        """What was written last; None if nothing was, or nothing that can be read."""
        try:
            return read_as(_PROGRESS, self._path)
        except (OSError, ValueError):
            return None

    def remove(self) -> None:
        """Leave nothing behind."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def flush(self) -> None:
        """Write what has not been written yet."""
        if self._now == self._shown:
            return
        self._written, self._shown = time.monotonic(), self._now
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        try:
            unfinished.write_text(json.dumps(asdict(self._shown)), encoding="utf-8")
            os.replace(unfinished, self._path)
        except OSError:  # readers miss this moment; the work goes on
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def _report(self, progress: Progress) -> None:
        self._now = progress
        if time.monotonic() - self._written >= EVERY:
            self.flush()
