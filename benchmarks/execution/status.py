"""How far matrices are, read from the notes, records, failures and claims of a results folder."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from benchmarks.coordination.claims import Claims, Holding
from benchmarks.coordination.kinds import Kind
from benchmarks.coordination.notes import Note, NotedCell, Notes
from benchmarks.execution.remaining import Left, Measured
from benchmarks.execution.times import in_words
from benchmarks.output import printable
from leaderboard.files.plain_files import LARGEST, read_plain
from leaderboard.store.failures import Failure, FailureStore

SHOWN = 5  # failures
LONGEST = 1e9  # seconds of a cell
FEW = 5  # records of a kind that are read for their seconds
_ANY = Kind("", "", "", fitted_for_t=False, forwards=1)  # of cells that an older SpikeMark noted


@dataclass(frozen=True)
class Status:
    """One matrix at one moment."""

    matrix: str
    cells: int
    done: int
    failed: list[Failure]  # one for each cell or network
    failed_cells: int
    running: list[tuple[Holding, int]]  # with how many cells wait for it; 0 for a cell
    dead: list[Holding]  # claims whose owner is gone
    left: Left | None  # of cells that run or wait; None before any was measured


def statuses(results: Path) -> list[Status]:
    """All matrices of a results folder, the latest run last."""
    claims, failures = Claims(results).load(), FailureStore(results).load()
    return [_status(note, results, claims, failures) for note in Notes(results).load()]


def show_status(results: Path, matrix: str, console: Console) -> bool:
    """Print the status of a matrix, or of all; False where there is none."""
    found = [status for status in statuses(results) if matrix in ("", status.matrix)]
    for status in found:
        for line in lines(status):
            console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
    studies = [h for key, h in Claims(results).load().items() if key.startswith("study-") and not h.stale]
    for holding in studies if not matrix else []:
        console.print(printable(_running(holding)), highlight=False, markup=False, soft_wrap=True)
    return bool(found) or (bool(studies) and not matrix)


def lines(status: Status) -> list[str]:
    """A status for people."""
    waiting = status.cells - status.done - status.failed_cells
    parts = [f"{status.done} of {status.cells} cells done", f"{len(status.running)} running"]
    parts.append(f"{status.failed_cells} failed")
    if waiting and status.left is not None:
        parts.append(str(status.left))
    text = [f"{status.matrix}: {', '.join(parts)}"]
    for holding, cells in status.running:
        text.append(_running(holding) + (f"; {cells} cell(s) wait for it" if cells else ""))
    for holding in status.dead:
        text.append(f"  {holding.title}: {holding.who} is gone; the next run does it again")
    for failure in status.failed[:SHOWN]:
        text.append(f"  failed: {failure.title}: {failure.summary}")
    if len(status.failed) > SHOWN:
        text.append(f"  and {len(status.failed) - SHOWN} more failures")
    return text


def _running(holding: Holding) -> str:
    words = str(holding.progress) if holding.progress is not None else "running"
    return f"  {holding.title}: {words}, for {in_words(time.time() - holding.since)}, {holding.who}"


def _status(note: Note, results: Path, claims: dict[str, Holding], failures: dict[str, Failure]) -> Status:
    records = results / "records"
    done = [cell for cell in note.cells if (records / f"{cell.id}.json").is_file()]
    undone = [cell for cell in note.cells if cell not in set(done)]
    waiting: dict[str, int] = {}
    for cell in undone:
        waiting[cell.ann] = waiting.get(cell.ann, 0) + 1
    wanted = {f"cell-{cell.id}": 0 for cell in note.cells} | {f"ann-{ann}": n for ann, n in waiting.items()}
    held = [(claims[key], cells) for key, cells in wanted.items() if key in claims]
    failed = {id_: failures[id_] for cell in undone for id_ in (cell.id, cell.ann) if id_ in failures}
    failed_cells = sum(cell.id in failures or cell.ann in failures for cell in undone)
    running = [(holding, cells) for holding, cells in held if not holding.stale]
    to_run = [cell for cell in undone if cell.id not in failed and cell.ann not in failed]
    at_once = len(running) or note.at_once or 1
    return Status(
        note.matrix,
        len(note.cells),
        len(done),
        list(failed.values()),
        failed_cells,
        running,
        [holding for holding, _ in held if holding.stale],
        _left(_measured(done, records), to_run, claims, at_once),
    )


def _measured(done: Sequence[NotedCell], records: Path) -> Measured:
    """What cells took: of each kind the last few."""
    measured, looked = Measured(), Counter[Kind]()
    for cell in reversed(done):
        kind = cell.kind or _ANY
        if looked[kind] < FEW:
            looked[kind] += 1
            seconds = _seconds(records / f"{cell.id}.json")
            if seconds is not None:
                measured.add(kind, seconds)
    return measured


def _left(
    measured: Measured, cells: Sequence[NotedCell], claims: Mapping[str, Holding], at_once: int
) -> Left | None:
    now = time.time()
    found = {cell.id: claims.get(f"cell-{cell.id}") for cell in cells}
    elapsed = {
        id_: now - holding.since
        for id_, holding in found.items()
        if holding is not None and not holding.stale
    }
    left = measured.left([(cell.id, cell.kind or _ANY) for cell in cells], elapsed, at_once)
    # A network that is being trained makes its cells wait, and nobody knows for how long.
    trains = any(f"ann-{cell.ann}" in claims for cell in cells)
    return replace(left, at_least=True) if left is not None and trains else left


def _seconds(record: Path) -> float | None:
    """What a cell took; what no clock can have measured is not believed."""
    try:
        content = json.loads(read_plain(record, LARGEST))
        found = float(content["provenance"]["wall_time_s"]["cell"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None
    return found if 0 <= found <= LONGEST else None
