"""How well large matrices go: `python -m benchmarks.scale` prints ratios and the leaderboard's cost.

- A matrix of tiny cells, by a pool of workers: the share of their time that is not spent in cells.
- 2,000 records, made from a measured one: seconds and memory of the leaderboard in a new process.
"""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from benchmarks.execution.executors import Where
from benchmarks.runner import run
from benchmarks.spec import Matrix
from leaderboard import Record, ResultStore
from leaderboard.records import content_hash

RANKING = """
import io, resource, sys, time
started = time.perf_counter()
from rich.console import Console
from leaderboard import ResultStore, rank, render
loaded = ResultStore(sys.argv[1]).load()
read = time.perf_counter()
render(rank(loaded.records), Console(file=io.StringIO()))
ended = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{len(loaded.records)} records: read {read - started:.2f} s, ranked and drawn {ended - read:.2f} s, "
      f"{ended - started:.2f} s in all; at most {peak:.0f} MiB")
"""


def matrix_of(cells: int, seeds: int, time_steps: int = 8) -> Matrix:
    """A matrix of so many tiny cells on the embedded digits."""
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


def overhead(matrix: Matrix, where: Where, results: Path) -> str:
    """Run a matrix and compare its workers' time with that of its cells."""
    workers = where.workers or 1
    trained = matrix.model_copy(update={"recipes": matrix.recipes[:1]})
    run(trained, None, results, Console(file=io.StringIO()))  # networks are not the question here
    for start in ("first run, with the start of the workers", "second run, nothing left to do"):
        began = time.perf_counter()
        outcome = run(matrix, None, results, Console(file=io.StringIO()), where)
        wall = time.perf_counter() - began
        if start.startswith("first"):
            assert not outcome.failures, outcome.failures
            ours = {cell.id for cell in outcome.finished}
            records = [record for record in ResultStore(results).load().records if record.cell_id in ours]
            inside = [record.provenance.wall_time_s["cell"] for record in records]
            began_cells = _span([ResultStore(results).path_of(id_) for id_ in ours])
            work = sum(inside)
            text = (
                f"{len(inside)} cells, {workers} worker(s): {work:.1f} s in cells, {wall:.1f} s in all; "
                f"overhead while cells ran: {began_cells * workers / work - 1:.1%} of the work; "
                f"{wall * workers / work - 1:.1%} with the start of the workers"
            )
        else:
            text += f"; {wall:.1f} s to find that nothing is left"
    return text


def _span(records: list[Path]) -> float:
    """Seconds from the first record to the last, and one cell more."""
    times = sorted(path.stat().st_mtime for path in records)
    return (times[-1] - times[0]) * len(times) / (len(times) - 1)


def copies(record: Record, count: int, results: Path) -> None:
    """Write so many records like one: networks of 20 recipes and 5 seeds each."""
    store = ResultStore(results)
    for index in range(count):
        network, recipe, seed = index // 100, index // 5 % 20, index % 5
        config = {**record.config, "seed": seed, "copy": [network, recipe]}
        store.write(
            record.model_copy(
                update={
                    "cell_id": content_hash(config),
                    "config": config,
                    "network": f"network {network}",
                    "seed": seed,
                    "method": record.method.model_copy(update={"label": f"recipe {recipe}"}),
                }
            )
        )


@click.command()
@click.option("--cells", default=200, show_default=True, help="Tiny cells to run.")
@click.option("--seeds", default=4, show_default=True, help="Networks among them.")
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option("--records", default=2000, show_default=True, help="Records to rank.")
def main(cells: int, seeds: int, workers: int, records: int) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "cells"
        print(overhead(matrix_of(cells, seeds), Where(workers=workers), results), flush=True)
        record = ResultStore(results).load().records[0]
        copies(record, records, Path(folder) / "copies")
        words = [sys.executable, "-c", RANKING, str(Path(folder) / "copies")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        print(done.stdout.strip() or f"{shlex.join(words[:2])} failed:\n{done.stderr}")


if __name__ == "__main__":
    main()
