"""Files in a results folder that killed processes have left, and that no process needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from benchmarks.coordination.heartbeats import disk_time

ABANDONED = 3600.0  # seconds after which nobody writes a temporary file any more
FOREIGN = "wandb"  # whose own files are W&B's business
DEPTH = 3  # folders below the results


def leftovers(results: Path, age: float = ABANDONED) -> list[Path]:
    """Files that nobody writes any more.

    Temporary files; progress without a claim; checkpoints of trainings that have their network.

    Args:
        results: the folder.
        age: seconds after which nobody writes a temporary file any more.
    """
    found = sorted(_found(results))
    now = disk_time(results) if found else 0.0  # the clock of this machine may be days away from it
    return [path for path in found if _age(path, now) > age]


def sweep_results(results: Path) -> None:
    """Remove them, from every folder."""
    for path in leftovers(results):
        with suppress(OSError):
            path.unlink()


def _found(results: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(results):
        folder = Path(place)
        if len(folder.relative_to(results).parts) >= DEPTH:
            folders.clear()
        if FOREIGN in folders:
            folders.remove(FOREIGN)
        for name in names:
            path = folder / name
            if name.startswith(".") and name.endswith(".tmp"):
                yield path
            elif folder == results / "claims" and name.endswith(".progress"):
                if not path.with_suffix(".json").exists():
                    yield path
            elif name.endswith(".ckpt") and "network.pt" in names:
                yield path


def _age(path: Path, now: float) -> float:
    try:
        return now - path.lstat().st_mtime
    except OSError:
        return 0.0
