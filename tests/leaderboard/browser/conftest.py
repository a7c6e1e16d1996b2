"""One headless Chromium for all tests of the page; they are skipped, with a reason, where there is none."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def executable() -> str | None:
    """A browser of this machine: SPIKEMARK_BROWSER, or the first that is found."""
    return os.environ.get("SPIKEMARK_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed: pip install -r requirements-dev.txt")
    path = executable()
    if path is None:
        pytest.skip(f"no browser found ({', '.join(NAMES)}); SPIKEMARK_BROWSER may name one")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


class Visit:
    """One page in one tab, and everything that went wrong in it."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.path = path
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        self.context.set_default_timeout(10_000)
        self.tab = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))
        self.tab.on("request", lambda request: self.requests.append(request.url))

    def open(self, query: str = "", *, plots: bool = False) -> Any:
        """Open the page at an address, and wait for its table, or for its plots too."""
        self.tab.goto(f"{self.path.as_uri()}{query}", wait_until="commit")
        self.tab.wait_for_selector("html[data-ready=plots]" if plots else "html[data-ready]")
        return self.tab

    @property
    def labels(self) -> list[str]:
        """Recipes of the table, from top to bottom."""
        return self.tab.locator("#rankings .open").all_inner_texts()


@pytest.fixture(scope="session")
def tab_of() -> type[Visit]:
    return Visit


def _shared(browser: Any, page_file: Path) -> Iterator[Visit]:
    shared = Visit(browser, page_file)
    yield shared
    shared.context.close()
    assert shared.complaints == []
    # The page asks for nothing but itself (and its empty icon), whatever was pressed.
    outside = [url for url in shared.requests if not url.startswith((page_file.as_uri(), "data:", "blob:"))]
    assert outside == []


@pytest.fixture(scope="session")
def visit(browser: Any, light_file: Path) -> Iterator[Visit]:
    """The page without plotly, which takes most of the time, in a tab that tests share."""
    yield from _shared(browser, light_file)


@pytest.fixture(scope="session")
def full(browser: Any, page_file: Path) -> Iterator[Visit]:
    """The page as it is written, in a tab that tests share."""
    yield from _shared(browser, page_file)
