"""The leaderboard as a page of the site: written from the reference records whenever the site is built."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import File

from leaderboard import load_published, rank
from leaderboard.page.html import page_html
from leaderboard.reference.shipped import load_shipped

PAGE = "board.html"


def on_files(files: Any, config: Any) -> Any:
    """Add the page to what the site consists of."""
    shipped = load_shipped()
    text = page_html(rank(shipped.records, shipped.origins), published=load_published())
    files.append(File.generated(config, PAGE, content=text))
    return files
