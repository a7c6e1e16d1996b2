"""Which cells of a matrix are still to be run, found from its records and failures; and a note of all cells.

    <results>/runs/<matrix>.json   the cells of the latest run of a matrix

The note is for `spikemark status`, which reads it with the claims and records beside it and needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.anns import AnnStore
from benchmarks.cells import Cell
from benchmarks.coordination.notes import NotedCell, Notes
from benchmarks.execution.costs import Seconds, kind_of
from benchmarks.execution.jobs import Job
from leaderboard import ResultStore
from leaderboard.store.failures import Failure, FailureStore


@dataclass
class RunPlan:
    """The cells of a matrix, sorted by what is known of them."""

    results: Path
    done: list[Cell] = field(default_factory=list)
    failed: list[tuple[Cell, Failure]] = field(default_factory=list)  # earlier, and not to be tried again
    missing: list[Cell] = field(default_factory=list)
    damaged: list[tuple[Path, str]] = field(default_factory=list)  # records that will be replaced
    seconds: Seconds = field(default_factory=Seconds)

    def trainings(self) -> dict[str, Job]:
        """Networks to train before missing cells can run: id -> job."""
        found: dict[str, Job] = {}
        anns = AnnStore(self.results)
        for cell in self.missing:
            spec = cell.ann
            if spec.checkpoint is None and spec.id not in found and not anns.path_of(spec).is_file():
                found[spec.id] = Job(cell, self.results, train=True)
        return found


def make_plan(cells: Iterable[Cell], results: Path, retry_failed: bool) -> RunPlan:
    """Look every cell up.

    Args:
        cells: of one matrix.
        results: its results folder; read only.
        retry_failed: whether cells that failed for a reason of their own are missing, too.
    """
    plan, store, failures = RunPlan(results), ResultStore(results), FailureStore(results)
    for cell in cells:
        found = store.find(cell.id)
        if found is not None and not isinstance(found, str):
            plan.done.append(cell)
            plan.seconds.add(cell, found.provenance.wall_time_s.get("cell", 0.0))
            continue
        if isinstance(found, str):
            plan.damaged.append((store.path_of(cell.id), found))
        failure = failures.get(cell.id) or failures.get(cell.ann.id)
        if failure is None or failure.outside_cause or retry_failed:
            plan.missing.append(cell)
        else:
            plan.failed.append((cell, failure))
    return plan


def note(plan: RunPlan, matrix: str, cells: Iterable[Cell], at_once: int | None) -> Path:
    """Write what is to be run, for others to follow.

    Raises:
        StoreError: the folder cannot be written.
    """
    listed = [NotedCell(cell.id, cell.ann.id, cell.title, kind_of(cell)) for cell in cells]
    return Notes(plan.results).write(matrix, listed, at_once)
