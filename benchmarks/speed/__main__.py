"""How many times as fast as a plain loop each network of the zoo is simulated; one table, saved as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.output import screen
from benchmarks.provenance import device_name, git_state, package_versions
from benchmarks.speed.contenders import BASELINE
from benchmarks.speed.ratios import ANN, LOOP, PRECISIONS, UNCOMPILED, Row, geometric_mean, row_of
from benchmarks.speed.zoo import NETWORKS, RECIPES, work_of

NOISE = 0.85  # of what is allowed: what is slower still is no accident of one machine
# Times the plain loop's speed that a simulator of ours is allowed.
LEAST: Mapping[str, float] = dict.fromkeys((*PRECISIONS, UNCOMPILED), 1.0) | {UNCOMPILED: 1 / 1.3}
SHORT = ("resnet20", "resnet18", "mobilenet_v2", "efficientnet_lite0", "regnet_x", "silu_net", "small_vit")


def behind(rows: Sequence[Row], noise: float = NOISE) -> list[str]:
    """What a simulator of ours does more slowly than `LEAST` allows it, by more than noise; in words.

    Args:
        rows: what was measured.
        noise: share of the allowed speed from which on a simulator is behind.
    """
    return [
        f"{row.network}, {row.recipe}, {row.images} images, {name}: {ratio:.2f} times the plain loop's "
        f"speed, less than {noise * least:.2f}"
        for row in rows
        for name, least in LEAST.items()
        if (ratio := row.ratio(name)) is not None and ratio < noise * least
    ]


def _table(rows: Sequence[Row], title: str) -> Table:
    shown = [name for name in (*PRECISIONS, UNCOMPILED, BASELINE) if any(name in row.seconds for row in rows)]
    table = Table(title=title, title_justify="left")
    for heading in ("network", "recipe"):
        table.add_column(heading)
    for heading in ("images", *shown, "loop / ANN"):
        table.add_column(heading, justify="right")
    for row in rows:
        ratios = [f"{ratio:.2f}" if (ratio := row.ratio(name)) else "-" for name in shown]
        if row.refused is not None:
            table.add_row(row.network, row.recipe, str(row.images), *ratios, "no")
            continue
        step = row.seconds[LOOP] / row.time_steps / row.seconds[ANN]
        table.add_row(row.network, row.recipe, str(row.images), *ratios, f"{step:.2f}")
    return table


def _means(console: Console, rows: Sequence[Row]) -> None:
    for images in sorted({row.images for row in rows}):
        for name in (*PRECISIONS, UNCOMPILED, BASELINE):
            ratios = [ratio for row in rows if row.images == images and (ratio := row.ratio(name))]
            if ratios:
                console.print(f"geometric mean, {images} images, {name}: {geometric_mean(ratios):.2f}")


@click.command()
@click.option("--network", "names", multiple=True, type=click.Choice(list(NETWORKS)), help="Default: all.")
@click.option("--spikes", "kinds", multiple=True, type=click.Choice(list(RECIPES)), help="Default: all.")
@click.option("--images", "batches", multiple=True, type=int, default=(1, 32), show_default=True)
@click.option("--precision", "precisions", multiple=True, type=click.Choice(PRECISIONS), default=PRECISIONS)
@click.option("--time-steps", default=16, show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Turns of each contender; the best counts.")
@click.option("--ours", is_flag=True, help="Leave out the uncompiled simulator and other packages.")
@click.option("--check", is_flag=True, help="Short: few networks, two recipes; fails where we fall behind.")
@click.option("--save", type=click.Path(path_type=Path), help="Also write the results to this JSON file.")
def main(
    names: tuple[str, ...],
    kinds: tuple[str, ...],
    batches: tuple[int, ...],
    precisions: tuple[str, ...],
    time_steps: int,
    rounds: int,
    ours: bool,
    check: bool,
    save: Path | None,
) -> None:
    """Compare simulators with a plain loop: same weights, images, neurons and time steps, taking turns."""
    console = screen()
    if check:
        names, kinds, batches = names or SHORT, kinds or ("binary", "tracking"), (4,)
    uncompiled, others = not ours, not (ours or check)
    place = f"{device_name(torch.device('cpu'))}, T = {time_steps}"
    rows: list[Row] = []
    for name in names or tuple(NETWORKS):
        for images in batches:
            work = work_of(name, images)
            for kind in kinds or tuple(RECIPES):
                row = row_of(work, RECIPES[kind], time_steps, rounds, precisions, uncompiled, others)  # type: ignore[arg-type]
                rows.append(row)
                ratios = {key: round(row.ratio(key) or 0, 2) for key in row.seconds if key != ANN}
                console.print(f"{name}, {row.recipe}, {images} images: {row.refused or ratios}")
                if save is not None:
                    report = {"device": place, "versions": package_versions(), "commit": git_state()[0]}
                    table = [row.as_json() for row in rows]
                    save.write_text(json.dumps({**report, "rows": table}, indent=2) + "\n")
    console.print(_table(rows, f"times as fast as the plain loop: {place}"))
    _means(console, rows)
    slow = behind(rows)
    for line in slow:
        console.print(f"behind: {line}")
    if check and slow:
        sys.exit(1)


if __name__ == "__main__":
    main()
