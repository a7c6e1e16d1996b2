"""What fitting costs beside simulating, in processor time: `python -m benchmarks.speed.fits`.

Fitting is part of the price of a recipe. It should cost no more than simulating 1,000 images at the same T.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import torch
from rich.table import Table
from torch import Tensor

from benchmarks.output import screen
from benchmarks.provenance import device_name, git_state, package_versions
from benchmarks.speed.work import resnet20
from conversion.convert import PreparedNetwork, prepare

COMPARED = 1000  # images
RECIPES = (
    "spikemark",
    "spikemark-signed",
    "spikemark-binary",
    "spikemark-shrinking",
    "spikemark-shrinking-signed",
    "ftbc",
    "tpp",
    "calib-light",
    "calib-adv",
)
Timer = Callable[[], float]


@dataclass(frozen=True)
class Fit:
    """One recipe at one T; processor seconds.

    Attributes:
        recipe: preset.
        time_steps: T.
        fitting: from the activations of the calibration images to a network.
        simulating: 1,000 images.
    """

    recipe: str
    time_steps: int
    fitting: float
    simulating: float

    @property
    def ratio(self) -> float:
        """Fitting over simulating; at most 1 where it is cheap."""
        return self.fitting / self.simulating


def fits_of(
    prepared: PreparedNetwork,
    recipe: str,
    time_steps: Sequence[int],
    images: Tensor,
    timer: Timer = time.process_time,
) -> list[Fit]:
    """Fit a recipe for each T in one call, as a benchmark does, and simulate some images with each network.

    Args:
        prepared: the network, whose calibration images have been seen.
        recipe: preset.
        time_steps: every T.
        images: that are simulated; the time is scaled to 1,000.
        timer: seconds.
    """
    fitting: dict[int, float] = {}
    network = prepared.convert(recipe)
    original = network._fit

    def timed(t: int) -> None:
        started = timer()
        original(t)
        fitting[t] = timer() - started

    network._fit = timed  # type: ignore[method-assign]
    network.fit_for(list(time_steps))
    network._fit = original  # type: ignore[method-assign]
    found = []
    for t in time_steps:
        list(network.simulate(images, t))  # packs weights
        started = timer()
        list(network.simulate(images, t))
        found.append(Fit(recipe, t, fitting[t], (timer() - started) * COMPARED / len(images)))
    return found


def table_of(fits: Sequence[Fit], title: str) -> Table:
    """A row for each recipe, a column for each T: seconds to fit / to simulate 1,000 images = ratio."""
    steps = sorted({fit.time_steps for fit in fits})
    table = Table(title=title, title_justify="left")
    table.add_column("recipe")
    for t in steps:
        table.add_column(f"T = {t}", justify="right")
    for recipe in dict.fromkeys(fit.recipe for fit in fits):
        own = {fit.time_steps: fit for fit in fits if fit.recipe == recipe}
        cells = [
            f"{fit.fitting:.2f} / {fit.simulating:.2f} = {fit.ratio:.2f}" if (fit := own.get(t)) else "-"
            for t in steps
        ]
        table.add_row(recipe, *cells)
    return table


@click.command()
@click.option("--recipe", "recipes", multiple=True, default=RECIPES, show_default=True)
@click.option("--time-steps", "steps", multiple=True, type=int, default=(2, 4, 8, 16, 32), show_default=True)
@click.option("--calibration", default=256, show_default=True, help="Calibration images.")
@click.option("--images", default=64, show_default=True, help="Images that are simulated; scaled to 1,000.")
@click.option(
    "--data-root",
    envvar="SPIKEMARK_DATA",
    type=click.Path(exists=True, path_type=Path),
    help="Real images and a checkpoint; without, random ones.",
)
@click.option("--save", type=click.Path(path_type=Path), help="Also write the results to this JSON file.")
def main(
    recipes: tuple[str, ...],
    steps: tuple[int, ...],
    calibration: int,
    images: int,
    data_root: Path | None,
    save: Path | None,
) -> None:
    """Processor time of fitting ResNet-20, beside that of simulating 1,000 images."""
    console = screen()
    work = resnet20(images, data_root, calibration)
    started = time.process_time()
    prepared = prepare(work.network, work.calibration.split(32))
    once = time.process_time() - started
    place = device_name(torch.device("cpu"))
    seen = f"{len(work.calibration)} calibration images, seen once: {once:.2f} s"
    console.print(f"{work.name}, {seen}; {place}")
    found: list[Fit] = []
    for recipe in recipes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found += fits_of(prepared, recipe, steps, work.images)
        for fit in found[-len(steps) :]:
            console.print(
                f"{fit.recipe}, T = {fit.time_steps}: fit {fit.fitting:.2f} s, {COMPARED} images "
                f"{fit.simulating:.2f} s"
            )
        if save is not None:
            report: dict[str, Any] = {"device": place, "versions": package_versions()}
            rows = [asdict(fit) for fit in found]
            report |= {"commit": git_state()[0], "seen_once": once, "fits": rows}
            save.write_text(json.dumps(report, indent=2) + "\n")
    console.print(table_of(found, f"seconds to fit / to simulate {COMPARED} images = ratio; processor time"))


if __name__ == "__main__":
    main()
