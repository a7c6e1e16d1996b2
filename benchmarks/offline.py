"""Tracked runs that wait on the disk, and their upload."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

ANSWER = 10.0  # seconds to wait for W&B to answer at all
UPLOAD = 1800.0  # seconds for one run; wandb itself tries for ever where the network is gone
SHOWN = 5  # last lines of what wandb says
SYNCED = ".synced"  # put behind a run's file by wandb once it is uploaded


def offline_runs(folder: Path) -> list[Path]:
    """Folders of tracked runs that have not been uploaded."""
    runs = sorted((folder / "wandb").glob("offline-run-*"))
    return [run for run in runs if list(run.glob("*.wandb")) and not list(run.glob(f"*{SYNCED}"))]


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
