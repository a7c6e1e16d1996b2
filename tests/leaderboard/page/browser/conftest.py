"""One headless Chromium for all tests of the page; they are skipped, with a reason, where there is none."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leaderboard.page.html import plotly_javascript, write_page
from leaderboard.ranking.boards import rank
from leaderboard.records.record import Record
from leaderboard.store.diagnoses import CellDiagnosis, LayerDiagnosis
from leaderboard.store.pictures import Picture

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
Make = Callable[..., Record]
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
        self.context.set_default_timeout(60_000)  # a busy machine takes its time
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


@pytest.fixture(scope="session")
def records(make: Make) -> list[Record]:
    """Two networks on one data set, another data set, another task; two energy models; hostile names."""
    found = [
        make(
            {1: 0.5, 2: 0.8, 8: 0.899}, label="good", network="a", method_paper=HOSTILE, config={"x": HOSTILE}
        ),
        make({1: 0.7, 2: 0.75, 8: 0.76}, label="early", network="a", pj_per_step=20.0),
        make({1: 0.5, 2: 0.85, 8: 0.898}, label="burst", group="multi-level", network="a"),
        make({1: 0.5, 2: 0.6, 8: 0.7}, label=HOSTILE, network="a"),
        make({1: 0.8, 2: 0.85, 8: 0.89}, label="ptq", group="baseline", network="a"),
        make({1: 0.5, 8: 0.6}, label="other", network="b"),
        make({1: 0.5, 8: 0.6}, label="far", dataset=HOSTILE, network="b"),
        make({1: 0.5, 8: 0.6}, label="seg", task="segmentation"),
    ]
    return [_with_layers(record) for record in found]


def _with_layers(record: Record) -> Record:
    ann = {"operations": 4600.0, "memory": 9000.0}
    curve = []
    for p in record.curve:
        energy = {"operations": p.energy_pj["operations"], "memory": 3 * p.energy_pj["operations"]}
        layers = {model: {"fc1": total / 4, "fc2": total * 3 / 4} for model, total in energy.items()}
        curve.append(p.model_copy(update={"energy_pj": energy, "energy_layers_pj": layers}))
    return record.model_copy(update={"curve": curve, "ann": record.ann.model_copy(update={"energy_pj": ann})})


@pytest.fixture(scope="session")
def page_file(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = {records[0].cell_id: [Picture(HOSTILE, PIXEL)]}
    layers = [
        LayerDiagnosis(
            layer=name,
            t=t,
            threshold=1.5,
            rate=0.1,
            error=0.5,
            clipping=0.1,
            quantisation=0.2,
            input=0.3,
            unevenness=0,
        )
        for t in (2, 8)
        for name in ("features.0", HOSTILE)
    ]
    diagnoses = {
        records[0].cell_id: CellDiagnosis(images=16, layers=layers),
        records[1].cell_id: CellDiagnosis(images=16, why_not=HOSTILE),
    }
    target = tmp_path_factory.mktemp("page") / "page.html"
    return write_page(rank(records), target, pictures=pictures, diagnoses=diagnoses)


@pytest.fixture(scope="session")
def light_file(page_file: Path) -> Path:
    text = page_file.read_text(encoding="utf-8")
    light = page_file.with_name("light.html")
    light.write_text(text.replace(plotly_javascript(), ""), encoding="utf-8")
    return light


@pytest.fixture(scope="session")
def hostile() -> str:
    """The name that would be markup, if anything took it for that."""
    return HOSTILE
