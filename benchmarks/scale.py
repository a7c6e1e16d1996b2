"""How well large matrices go: `python -m benchmarks.scale` prints ratios and the leaderboard's cost.

- A matrix of tiny cells, by a pool of workers: the share of their time that is not spent in cells.
- 2,000 records, made from a measured one: seconds and memory of `spikemark leaderboard`, with its start.
"""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from benchmarks.execution.where import Where
from benchmarks.output import say
from benchmarks.runner import run
from benchmarks.spec import Matrix
from leaderboard import Record, ResultStore, encode_outcomes
from leaderboard.records.record import Outcomes, Point, content_hash


def matrix_of(cells: int, seeds: int, time_steps: int = 8) -> Matrix:
    """A matrix of `cells` tiny cells on the embedded digits."""
    recipes = [{"preset": "burst", "neuron": {"gamma": gamma}} for gamma in range(1, cells // seeds + 1)]
    return Matrix.model_validate(
        {
            "name": "scale",
            "datasets": [{"name": "digits", "size": 8}],
            "networks": ["small_cnn"],
            "recipes": recipes,
            "time_steps": [1, time_steps],
            "seeds": list(range(seeds)),
            "training": {"epochs": 1},
            "evaluation": {"calibration_images": 64, "test_images": 200, "batch_size": 100},
            "tracking": {"wandb": "off"},
        }
    )


@dataclass(frozen=True)
class Overhead:
    """What a run took beside its cells; seconds on the clock."""

    cells: int
    work: float  # in cells, measured inside the workers
    wall: float  # of the command, with the start of the workers
    share: float  # worker time outside cells while cells ran, as a multiple of `work`
    start: float  # until the first worker could begin its first cell
    again: float  # the same command when nothing is left


def overhead(matrix: Matrix, where: Where, results: Path) -> Overhead:
    """Run a matrix, its networks trained before; compare its workers' time with that of its cells."""
    trained = matrix.model_copy(update={"recipes": matrix.recipes[:1]})
    run(trained, None, results, Console(file=io.StringIO()))  # networks are not the question here
    began = time.time()
    outcome = run(matrix, None, results, Console(file=io.StringIO()), where)
    wall = time.time() - began
    assert not outcome.failures, outcome.failures
    store = ResultStore(results)
    ended = {cell.id: store.path_of(cell.id).stat().st_mtime for cell in outcome.finished}
    inside = {id_: store.read(id_).provenance.wall_time_s["cell"] for id_ in ended}
    times, work = sorted(ended.values()), sum(inside.values())
    # From the first record to the last there are as many cells as records, less one.
    span = (times[-1] - times[0]) * len(times) / (len(times) - 1)
    began_again = time.time()
    run(matrix, None, results, Console(file=io.StringIO()), where)
    return Overhead(
        cells=len(ended),
        work=work,
        wall=wall,
        share=span * (where.workers or 1) / work - 1,
        start=min(ended[id_] - inside[id_] for id_ in ended) - began,
        again=time.time() - began_again,
    )


def copies(record: Record, count: int, results: Path, images: int = 10_000) -> None:
    """Write `count` records like one: networks of 20 recipes and 5 seeds each, with outcomes of their own.

    Recipes lose images of their network at random, the fewer the later the read-out; figures of layers
    differ in every record, as measured ones do.
    """
    store = ResultStore(results)
    for index in range(count):
        network, recipe, seed = index // 100, index // 5 % 20, index % 5
        config = {**record.config, "seed": seed, "copy": [network, recipe]}
        ann = np.random.default_rng([network, seed]).random(images) < 0.92
        generator = np.random.default_rng([network, recipe, seed])
        curve, at = [], {}
        for point in record.curve:
            right = ann & (generator.random(images) >= 0.3 / point.t + 0.002 * (recipe % 7))
            at[point.t] = encode_outcomes(right)
            metrics = {**point.metrics, record.metric: float(right.mean())}
            curve.append(_scaled(point, 1 + 0.1 * generator.random()).model_copy(update={"metrics": metrics}))
        origin = {
            "metrics": {**record.ann.metrics, record.metric: float(ann.mean())},
            "checkpoint_sha256": content_hash({"network": network, "seed": seed}) * 4,
        }
        store.write(
            record.model_copy(
                update={
                    "cell_id": content_hash(config),
                    "config": config,
                    "network": f"network {network}",
                    "seed": seed,
                    "method": record.method.model_copy(update={"label": f"recipe {recipe}"}),
                    "ann": record.ann.model_copy(update=origin),
                    "curve": curve,
                    "outcomes": Outcomes(
                        measure=record.metric, count=images, ann=encode_outcomes(ann), at=at
                    ),
                }
            )
        )


def _scaled(point: Point, factor: float) -> Point:
    """A read-out whose spikes and energies are `factor` times larger."""

    def scaled(values: dict[str, float]) -> dict[str, float]:
        return {name: value * factor for name, value in values.items()}

    layers = {model: scaled(values) for model, values in (point.energy_layers_pj or {}).items()}
    plain = {name: scaled(getattr(point, name)) for name in ("spikes", "rates", "synops", "energy_pj")}
    return point.model_copy(update={**plain, "energy_layers_pj": layers or None})


# A process counts the memory of the one that it was forked from as its own, so a small one stands between.
_LAUNCH = """
import os, sys, time
began = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ, file_actions=quiet)
_, status, used = os.wait4(child, 0)
wall, cpu, peak = time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
sys.stdout.write(f"{wall:.2f} s, {cpu:.2f} s of the processor; at most {peak:.0f} MiB\\n")
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measured(words: list[str]) -> str:
    """Run `spikemark` with these words in a new process; seconds and memory, the start included."""
    command = [sys.executable, "-c", _LAUNCH, "-m", "benchmarks.cli", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@click.command()
@click.option("--cells", default=200, show_default=True, help="Tiny cells to run; 0: none.")
@click.option("--seeds", default=4, show_default=True, help="Networks among them.")
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option("--repeats", default=3, show_default=True, help="How often to run them; the median counts.")
@click.option("--records", default=2000, show_default=True, help="Records to rank; 0: none.")
def main(cells: int, seeds: int, workers: int, repeats: int, records: int) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for repeat in range(repeats if cells else 0):
            one = overhead(matrix_of(cells, seeds), Where(workers=workers), Path(folder) / f"cells{repeat}")
            found.append(one)
            say(
                f"{one.cells} cells, {workers} worker(s): {one.work:.1f} s in cells, "
                f"{one.wall:.1f} s in all; "
                f"overhead while cells ran: {one.share:.1%} of the work; "
                f"{one.start:.1f} s until the first cell; {one.again:.1f} s to find that nothing is left"
            )
        if found:
            say(f"median overhead while cells ran: {statistics.median(one.share for one in found):.1%}")
        for network in ("small_cnn", "resnet20") if records else ():
            many = Path(folder) / network
            copies(_one_record(network, many / "one"), records, many)
            size = sum(path.stat().st_size for path in (many / "records").iterdir()) / 2**20
            say(f"{records} records of {network}, {size:.0f} MiB")
            for _ in range(repeats):
                taken = measured(["leaderboard", "--results", str(many)])
                say(f"  leaderboard: {taken}")
            page = str(many / "page.html")
            taken = measured(["leaderboard", "--results", str(many), "--html", page])
            say(f"  with its page: {taken}")


def _one_record(network: str, results: Path) -> Record:
    """A measured record with eight read-outs."""
    steps = [1, 2, 4, 8, 16, 32, 64, 128]
    one = matrix_of(1, 1).model_dump(exclude_unset=True) | {"networks": [network], "time_steps": steps}
    run(Matrix.model_validate(one), None, results, Console(file=io.StringIO()))
    return ResultStore(results).load().records[0]


if __name__ == "__main__":
    main()
