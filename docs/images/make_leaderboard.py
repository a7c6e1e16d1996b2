"""Make leaderboard.png, the picture in the README, from records.

    python docs/make_texts.py --page                 # of the reference records
    python docs/images/make_leaderboard.py RESULTS   # of a results folder

Writes their page, opens it in a Chromium of this machine (SPIKEMARK_BROWSER names another), and joins the top
of the ranking with the first two plots.
"""

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import sync_playwright

from leaderboard import Record, ResultStore, load_published, rank, write_page

VIEW = "?theme=light"
WIDTH, TABLE_HEIGHT = 1280, 760


def draw(records: Sequence[Record], note: str) -> None:
    """Write the picture beside this file; `note` says which records it shows."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page = write_page(rank(records), Path(folder) / "page.html", published=load_published())
        path = os.environ.get("SPIKEMARK_BROWSER") or shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": TABLE_HEIGHT})
        tab.goto(page.as_uri() + VIEW)
        tab.wait_for_selector("html[data-ready=plots]")
        top = Image.open(io.BytesIO(tab.screenshot()))
        # The plots as they stand, from their heading to the end of the first row.
        tab.set_viewport_size({"width": WIDTH, "height": 4000})
        tab.wait_for_timeout(500)
        head, figure = (tab.locator(each).bounding_box() for each in ("#plots", "#plots figure >> nth=1"))
        height = figure["y"] + figure["height"] - head["y"]
        clip = {"x": 0, "y": head["y"] - 8, "width": WIDTH, "height": height + 24}
        plots = Image.open(io.BytesIO(tab.screenshot(clip=clip)))
        browser.close()
    picture = Image.new("RGB", (WIDTH, top.height + plots.height), "white")
    picture.paste(top, (0, 0))
    picture.paste(plots, (0, top.height))
    target = Path(__file__).with_name("leaderboard.png")
    said = PngInfo()
    said.add_text("records", note)
    # In all its colours: a palette would merge those of thin lines.
    picture.save(target, optimize=True, pnginfo=said)
    print(f"{target}: {target.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    draw(ResultStore(sys.argv[1]).load().records, f"results folder {Path(sys.argv[1]).name}")
