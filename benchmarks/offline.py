"""Tracked runs that wait on the disk, and their upload.

    <results>/wandb/offline-run-<time>-<cell>-<draw>

The name of a run's folder says whose it is, so that the half run of a cell that was killed is found and
removed when the cell begins anew, and is not uploaded before: a run goes where its cell has a record.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from leaderboard import ResultStore

ANSWER = 10.0  # seconds to wait for W&B to answer at all
UPLOAD = 1800.0  # seconds for one run; wandb itself tries for ever where the network is gone
SHOWN = 5  # last lines of what wandb says
SYNCED = ".synced"  # put behind a run's file by wandb once it is uploaded
OFFLINE = "offline-run-"

_NAMED = re.compile(rf"{OFFLINE}\d+_\d+-([0-9a-f]{{16}})-[0-9a-f]{{8}}")


def offline_runs(folder: Path) -> list[Path]:
    """Folders of tracked runs that are over and have not been uploaded."""
    return [run for run in _waiting(folder) if not _is_open(run, folder)]


def open_runs(folder: Path) -> list[Path]:
    """Folders of tracked runs whose cell has no record: it is at work, was killed, or came to nothing."""
    return [run for run in _waiting(folder) if _is_open(run, folder)]


def _waiting(folder: Path) -> list[Path]:
    runs = sorted((folder / "wandb").glob(f"{OFFLINE}*"))
    return [run for run in runs if list(run.glob("*.wandb")) and not is_uploaded(run)]


def is_uploaded(run: Path) -> bool:
    """Whether wandb has put a run where others see it."""
    return bool(list(run.glob(f"*{SYNCED}")))


def new_id(cell: str) -> str:
    """Id of a cell's next run."""
    return f"{cell}-{uuid.uuid4().hex[:8]}"


def runs_of(cell: str, folder: Path) -> list[Path]:
    """Folders of a cell's runs, whole or not; runs of versions that named them otherwise are not found."""
    return sorted((folder / "wandb").glob(f"{OFFLINE}*-{cell}-*"))


def remove_run(run: Path) -> None:
    """Remove a run from the disk."""
    shutil.rmtree(run, ignore_errors=True)


def _is_open(run: Path, folder: Path) -> bool:
    """Whether the cell of a run has no record yet."""
    cell = cell_of(run)
    return cell is not None and not ResultStore(folder).has(cell)


def cell_of(run: Path) -> str | None:
    """Id of the cell whose run it is; None for runs of versions that named them otherwise."""
    named = _NAMED.fullmatch(run.name)
    return None if named is None else named[1]


def unreachable() -> str | None:
    """Why W&B cannot be reached, in one line; None where anything answers at its address."""
    import wandb

    address = str(wandb.setup().settings.base_url)
    try:
        with urllib.request.urlopen(address, timeout=ANSWER):  # through a proxy, where there is one
            return None
    except urllib.error.HTTPError:
        return None  # whatever it says, it is there
    except (OSError, ValueError) as error:
        return f"nobody answers at {address}: {getattr(error, 'reason', error)}"


def sync(runs: Sequence[Path], say: Callable[[str], None]) -> list[tuple[Path, str]]:
    """Upload tracked runs, one after another.

    Args:
        runs: their folders.
        say: told of each before it is uploaded.

    Returns:
        Those that failed, with what wandb said; they stay as they are.
    """
    failed = []
    for number, run in enumerate(runs, start=1):
        say(f"uploading {number} of {len(runs)}: {run}")
        words = [sys.executable, "-m", "wandb", "sync", str(run)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=UPLOAD)
        except subprocess.TimeoutExpired:
            failed.append((run, f"not uploaded within {UPLOAD / 60:.0f} min"))
            continue
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            failed.append((run, "\n".join(said[-SHOWN:])))
    return failed
