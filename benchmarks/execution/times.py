"""Times and sizes for people."""

from __future__ import annotations


def in_words(seconds: float) -> str:
    """For example "40 s", "12 min", "3.5 h"; of a clock that was set back, "0 s"."""
    seconds = max(seconds, 0.0)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def in_bytes(count: float) -> str:
    """For example "40 kB", "1.2 GB"."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
