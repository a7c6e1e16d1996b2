"""Make leaderboard.png and energy-models.png, the pictures in the README, from the records of its text.

    python docs/images/make_leaderboard.py RESULTS...

Writes the page of results folders, opens it in a Chromium of this machine (SPIKEMARK_BROWSER names another),
and joins the top of the ranking with the first two plots. The other picture is of the first board: energy at
parity under every model. `docs/make_energy.py README.md RESULTS...` fills in the text.
"""

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from leaderboard import ResultStore, load_published, rank, write_page
from leaderboard.reports.energy_plot import draw_models

VIEW = "?sort=one&theme=light"  # fewest time steps to parity first
WIDTH, TABLE_HEIGHT = 1280, 760
DPI = 200


def main(*folders: str) -> None:
    """Write the pictures beside this file."""
    boards = rank(record for folder in folders for record in ResultStore(folder).load().records)
    models = draw_models(boards[0])
    if models is not None:
        models.savefig(Path(__file__).with_name("energy-models.png"), dpi=DPI)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page = write_page(boards, Path(folder) / "page.html", published=load_published())
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
    picture.save(target, optimize=True)  # in all its colours: a palette would merge those of thin lines
    print(f"{target}: {target.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(*sys.argv[1:])
