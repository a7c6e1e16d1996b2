"""Tracked runs that wait on the disk, and their upload."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SYNCED = ".synced"  # put behind a run's file by wandb once it is uploaded


def offline_runs(folder: Path) -> list[Path]:
    """Folders of tracked runs that have not been uploaded."""
    runs = sorted((folder / "wandb").glob("offline-run-*"))
    return [run for run in runs if list(run.glob("*.wandb")) and not list(run.glob(f"*{SYNCED}"))]


def sync(runs: Sequence[Path]) -> list[tuple[Path, str]]:
    """Upload tracked runs, one after another.

    Returns:
        Those that failed, with what wandb said; they stay as they are.
    """
    failed = []
    for run in runs:
        words = [sys.executable, "-m", "wandb", "sync", str(run)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            failed.append((run, (done.stderr or done.stdout).strip()))
    return failed
