"""What a matrix would run, before it does: its cells, their cost, and the disk they need."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from benchmarks.cells import Cell, expand
from benchmarks.execution.costs import PAGE_BYTES, AnnCost, ann_cost, cell_forwards, record_bytes
from benchmarks.execution.plan import make_plan
from benchmarks.execution.times import in_bytes, in_words
from benchmarks.output import printable
from benchmarks.spec import Matrix
from datamodules import DataError


def preview(
    matrix: Matrix, data_root: Path | None, results: Path, retry_failed: bool, console: Console
) -> None:
    """Print it; reads the data sets, writes nothing.

    Raises:
        AnnError: a checkpoint file does not exist.
    """

    def say(text: str) -> None:
        console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    cells = expand(matrix, data_root)
    plan = make_plan(cells, results, retry_failed)
    trainings = plan.trainings()
    state = {cell.id: "done" for cell in plan.done}
    state |= {cell.id: f"failed before ({failure.error})" for cell, failure in plan.failed}
    costs: dict[str, AnnCost | str] = {}
    total, disk = 0, PAGE_BYTES if plan.missing else 0
    for cell in cells:
        known = _cost(cell, costs)
        if isinstance(known, str):
            say(f"{cell.title}: {state.get(cell.id, 'to run')}, {known}")
            continue
        if cell.ann.id in trainings and trainings[cell.ann.id].cell is cell:
            say(f"training {trainings[cell.ann.id].title}: {_forwards(known.training)}")
            total += known.training
            disk += known.bytes
        forwards = cell_forwards(cell, known.images)
        say(f"{cell.title}: {state.get(cell.id, f'to run, {_forwards(forwards)}')}")
        if cell.id not in state:
            total += forwards
            disk += record_bytes(cell, known.images)
    say("")
    for path, why in plan.damaged:
        say(f"set aside: {path}: {why}; its cell is run again")
    say(
        f"{len(cells)} cells: {len(plan.done)} done, {len(plan.missing)} to run, "
        f"{len(plan.failed)} failed before{' (--retry-failed runs them)' if plan.failed else ''}; "
        f"{len(trainings)} network(s) to train"
    )
    say(f"cost:  {_forwards(total)} of one image")
    left = plan.seconds.remaining(plan.missing)
    if left is not None:
        say(f"time:  about {in_words(left)} of cells on one worker, from cells measured here")
    free = shutil.disk_usage(_existing(results)).free
    say(f"disk:  about {in_bytes(disk)}, {in_bytes(free)} free in {results}")


def _cost(cell: Cell, costs: dict[str, AnnCost | str]) -> AnnCost | str:
    """Of a cell's network; why it is not known, where its data are missing."""
    id_ = cell.ann.id
    if id_ not in costs:
        try:
            costs[id_] = ann_cost(cell)
        except DataError as error:
            costs[id_] = f"cost unknown: {error}"
    return costs[id_]


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def _forwards(count: int) -> str:
    return f"{count:,} ANN forwards"
