"""What git knows of SpikeMark's own source, where it is a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
PATIENCE = 10  # seconds


def ask(*arguments: str, folder: Path = SOURCE) -> str | None:
    """The answer of a git command in a folder; None where it fails, or there is no git."""
    words = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def knows(commit: str, folder: Path = SOURCE) -> bool | None:
    """Whether a commit belongs to the history of the checked-out source; None outside of a checkout."""
    if ask("ls-files", "--error-unmatch", str(Path(__file__).relative_to(SOURCE)), folder=folder) is None:
        return None
    return ask("merge-base", "--is-ancestor", commit, "HEAD", folder=folder) is not None
