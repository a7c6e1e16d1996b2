"""The command `spikemark regress`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from benchmarks.commands.options import stop
from benchmarks.errors import AnnError, MatrixError, RegressionError
from benchmarks.output import screen

if TYPE_CHECKING:
    from benchmarks.spec import Matrix
    from leaderboard.regression.baseline import Baseline
    from leaderboard.regression.changes import Move

KEPT = ("same", "other", "only_same")  # of a baseline, when it is rewritten: people may have edited them
BASELINE = Path(__file__).parents[1] / "baselines" / "regression.json"


@click.command()
@click.argument("matrix", default="regression")
@click.option(
    "--baseline",
    type=click.Path(dir_okay=False, path_type=Path),
    default=BASELINE,
    help="File to compare with; the networks' weights lie beside it.  [default: SpikeMark's own]",
)
@click.option("--update", is_flag=True, help="Rewrite the baseline, and print what moved for the commit.")
def regress(matrix: str, baseline: Path, update: bool) -> None:
    """Measure MATRIX again and compare with a committed baseline; both are SpikeMark's own if not named.

    Where the arithmetic is the baseline's (same torch, same kernel, same answers of the ANNs), spike counts
    and synaptic operations must be equal; elsewhere the baseline's tolerances hold. Ends with an error
    and a table where something has moved: what, from what to what, and in which room to look.
    """
    from benchmarks.matrix import load, locate

    console = screen()
    try:
        chosen = load(locate(matrix))
    except MatrixError as error:
        stop(str(error))
    from leaderboard import StoreError

    try:
        moved = _gate(chosen, baseline, update, console)
    except (AnnError, RegressionError, StoreError) as error:
        stop(str(error))
    except KeyboardInterrupt:
        stop("interrupted; the baseline is as it was", 130)
    if moved and not update:
        sys.exit(1)


def _gate(matrix: Matrix, path: Path, update: bool, console: Console) -> list[Move]:
    from benchmarks.regression.measure import keep_weights, measure
    from leaderboard.regression.baseline import read_baseline, write_baseline
    from leaderboard.regression.changes import moves

    before = None if update and not path.is_file() else read_baseline(path)
    with tempfile.TemporaryDirectory() as folder:
        now = measure(matrix, Path(folder), path.parent, screen(stderr=True))
        moved = []
        if before is not None:
            was, is_now = (before.comparable(each.cells, now.arithmetic) for each in (before, now))
            moved = moves(was, is_now, before.tolerance(now.arithmetic))
        if update:
            if before is not None:
                now = now.model_copy(update={key: getattr(before, key) for key in KEPT})
            write_baseline(now, path)
            keep_weights(Path(folder), path.parent)
    _say(before, now, moved, console)
    if update:
        console.print(f"written: {path}", soft_wrap=True, highlight=False)
        _reasons(moved, console)
    return moved


def _say(before: Baseline | None, now: Baseline, moved: list[Move], console: Console) -> None:
    if before is None:
        console.print(f"{len(now.cells)} cells measured; there was no baseline")
        return
    differ = [key for key in now.arithmetic if now.arithmetic[key] != before.arithmetic.get(key)]
    if differ:
        said = ", ".join(f"{key} {before.arithmetic.get(key)} -> {now.arithmetic[key]}" for key in differ)
        console.print(Text(f"Other arithmetic than the baseline's ({said}): its tolerances hold."))
        for label, why in before.only_same.items():
            console.print(Text(f"Not compared: {label}. {why}"))
    else:
        console.print("Same arithmetic as the baseline's: counts must be equal.")
    compared = len(before.comparable(now.cells, now.arithmetic))
    if not moved:
        console.print(f"{compared} of {len(now.cells)} cells compared, nothing has moved.")
        return
    for move in moved:
        console.print(Text(f"\n{move.cell}", style="bold"))
        for name, text in _lines(move):
            console.print(Padding(Text.assemble((f"{name:<6} ", "dim"), text), (0, 0, 0, 2)))
    console.print()
    console.print(f"{len(moved)} of {compared} cells have moved.")


def _lines(move: Move) -> list[tuple[str, str]]:
    """What to say of a cell that has moved: its score first."""
    others = f", and {move.others} numbers after it" if move.others else ""
    found = [("score", move.score)] if move.score else []
    found.append(("first", f"{move.what}: from {move.before} to {move.after}{others}"))
    return [*found, ("look", "; ".join([*_packages_in(move.cell), move.room]))]


def _packages_in(cell: str) -> list[str]:
    """Modules of installed packages that a cell's name speaks of: there the reason is most likely."""
    from importlib.metadata import entry_points

    from spikemark_plugins import GROUPS

    words = {word for part in cell.split(" / ") for word in (part, part.split(" ")[0])}
    entries = [entry for group in GROUPS for entry in entry_points(group=group) if entry.name in words]
    return [
        f"{entry.value}, of your package {entry.dist.name if entry.dist else entry.name}" for entry in entries
    ]


def _reasons(moved: list[Move], console: Console) -> None:
    """What belongs into the message of the commit that changes the baseline."""
    if not moved:
        return
    console.print("\nFor the commit, with the reason after each line:\n")
    seen: dict[str, list[Move]] = {}
    for move in moved:
        seen.setdefault(move.room, []).append(move)
    for room, members in seen.items():
        first = members[0]
        example = f"{first.cell}: {first.what} {first.before} -> {first.after}"
        more = f" and {len(members) - 1} more cell(s)" if len(members) > 1 else ""
        console.print(Text(f"- {room}: {example}{more}, because ..."), soft_wrap=True)
