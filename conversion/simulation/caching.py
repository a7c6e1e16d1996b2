"""Where results of work that depends only on the machine are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """SPIKEMARK_CACHE, or a folder of ours in XDG_CACHE_HOME or ~/.cache; it need not exist yet."""
    own = os.environ.get("SPIKEMARK_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spikemark"
