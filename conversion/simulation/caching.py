"""The folder for results that depend only on the machine, kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """SPIKEMARK_CACHE, or our folder among the user's caches; it need not exist yet."""
    own = os.environ.get("SPIKEMARK_CACHE")
    if own:
        return Path(own)
    import platformdirs  # where the folder is named, machines without it simulate as well

    return platformdirs.user_cache_path("spikemark", appauthor=False)
