"""The commands `spikemark run`, `status` and `sync`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.commands.options import DATA_ROOT, RESULTS, stop
from benchmarks.commands.reading import show
from benchmarks.errors import AnnError, ExecutionError, MatrixError
from benchmarks.output import printable, say, screen

if TYPE_CHECKING:
    from benchmarks.runner import Outcome


@click.command()
@click.argument("matrix")
@DATA_ROOT
@RESULTS
@click.option(
    "--tracking",
    type=click.Choice(["off", "offline", "online"]),
    help="Weights & Biases: one run a cell; overrides the matrix.  [default: what the matrix says, else off]",
)
@click.option(
    "--dry-run", is_flag=True, help="Show the cells, their cost and the disk they need; run nothing."
)
@click.option("--retry-failed", is_flag=True, help="Also run cells that failed before.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes on this machine, one GPU each where there are GPUs.  [default: this process]",
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads of each worker.  [default: cores / workers]"
)
@click.option("--scheduler", metavar="ADDRESS", help="Run on the Dask cluster of this scheduler.")
@click.option("--slurm", is_flag=True, help="Submit to Slurm; --workers limits how many jobs at once.")
@click.option("--partition", help="Slurm: partition.")
@click.option(
    "--time",
    "minutes",
    type=click.IntRange(min=1),
    default=240,
    show_default=True,
    help="Slurm: minutes of each job.",
)
@click.option(
    "--gpus", type=click.IntRange(min=0), default=0, show_default=True, help="Slurm: GPUs of each job."
)
@click.option(
    "--cpus", type=click.IntRange(min=1), default=1, show_default=True, help="Slurm: cores of each job."
)
@click.option("--memory", "memory_gb", type=click.IntRange(min=1), help="Slurm: GB of each job.")
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("~/.spikemark/slurm"),
    show_default=True,
    help="Slurm: folder of job scripts and logs, on a disk that all nodes see.",
)
def run(
    matrix: str,
    data_root: Path | None,
    results: Path,
    tracking: str | None,
    dry_run: bool,
    retry_failed: bool,
    **where: Any,
) -> None:
    """Run MATRIX, a YAML file or the name of a bundled matrix.

    Trains or loads each network once, converts it with each recipe, evaluates at all time steps, and
    writes one record a cell to RESULTS/records. Finished cells are not run again, so an interrupted
    run continues where it stopped; cells that failed wait for --retry-failed. Ends with the leaderboard
    and its page, RESULTS/leaderboard.html. Several runs may share RESULTS, also from several machines.
    """
    from benchmarks.matrix import load, locate

    console = screen()
    try:
        found = locate(matrix)
        if where["workers"] and not (dry_run or where["slurm"] or where["scheduler"]):
            from benchmarks.execution.fork_server import warm_up

            warm_up()
        chosen = load(found)
    except MatrixError as error:
        stop(str(error))
    from benchmarks.execution.where import Where
    from benchmarks.runner import run as run_matrix
    from leaderboard import StoreError

    if tracking:
        chosen = chosen.tracked(tracking)
    try:
        if dry_run:
            from benchmarks.execution.preview import preview

            preview(chosen, data_root, results, retry_failed, console)
            return
        outcome = run_matrix(chosen, data_root, results, console, Where(**where), retry_failed)
    except (AnnError, ExecutionError, StoreError) as error:
        stop(str(error))
    if (outcome.finished or outcome.skipped) and not outcome.stopped:
        show(results, results / "leaderboard.html", console, only_own=True)
    _close(outcome, results)


def _close(outcome: Outcome, results: Path) -> None:
    """Say what is left to say, and end with the right code."""
    if outcome.runs:
        say(f"W&B run: {printable(outcome.runs[-1])}")
        if len(outcome.runs) > 1:
            say(f"         and {len(outcome.runs) - 1} more beside it, one a cell")
    reasons: dict[str, list[str]] = {}
    for what, why in outcome.failures:
        reasons.setdefault(why, []).append(what)
    for why, titles in reasons.items():
        more = f" and {len(titles) - 1} more" if len(titles) > 1 else ""
        say(f"\nfailed: {printable(titles[0])}{more}\n{why}", err=True)
    if outcome.failures:
        advice = f"{len(outcome.failures)} job(s) failed, see {results / 'failures'}; all others went on. "
        if "cell" in outcome.starved:
            advice += "Memory ran out: lower evaluation.batch_size, or set evaluation.memory_mib. "
        if "training" in outcome.starved:
            advice += "Memory ran out in a training: lower training.batch_size, or use fewer workers. "
        say(f"\n{advice}The same command with --retry-failed runs them again.", err=True)
    if outcome.failed_before:
        cell, failure = outcome.failed_before[0]
        say(
            f"\n{len(outcome.failed_before)} cell(s) failed in an earlier run and were not run again, "
            f"e.g. {printable(cell.title)} ({printable(failure.summary)}). "
            "Add --retry-failed to run them.",
            err=True,
        )
    kept = len(outcome.finished) + len(outcome.skipped)
    if outcome.interrupted:
        stop(f"interrupted; {kept} finished cell(s) are kept. The same command goes on from there.", 130)
    if outcome.stopped:
        left = f"{kept} finished cell(s) are kept. The same command goes on from there."
        if not results.is_dir():
            left = "Put it back, and the same command goes on from there; without it, it begins anew."
        stop(f"{outcome.stopped}\n{left}", 1)
    if outcome.failures or outcome.failed_before:
        sys.exit(1)


@click.command()
@click.argument("what", default="")
@RESULTS
def status(what: str, results: Path) -> None:
    """Show how far a matrix is, from any terminal and any machine that sees RESULTS.

    WHAT is a matrix that was run there, by name or file, or a results folder; left out, all matrices of
    RESULTS.
    """
    from benchmarks.execution.status import show_status

    folder, matrix = results, what
    if what and Path(what).is_dir():
        folder, matrix = Path(what), ""
    elif what.endswith((".yaml", ".yml")):
        from leaderboard.files.yaml_files import YamlError, read_file

        try:
            matrix = str(read_file(Path(what)).content["name"])
        except (YamlError, TypeError, KeyError) as error:
            stop(f"{what}: not a matrix: {error}")
    if not show_status(folder, matrix, screen()):
        stop(f"no run{f' of {matrix}' if matrix else ''} in {folder}; start one with: spikemark run MATRIX")


@click.command()
@RESULTS
def sync(results: Path) -> None:
    """Upload tracked runs of RESULTS to Weights & Biases; log in first with `wandb login`."""
    from benchmarks.offline import offline_runs, open_runs, unreachable
    from benchmarks.offline import sync as upload

    runs, unfinished = offline_runs(results), open_runs(results)
    if unfinished:
        say(f"{len(unfinished)} run(s) wait: their cells have no record; they are at work, killed or failed")
    if not runs:
        say(f"nothing to upload in {results / 'wandb'}")
        return
    why = unreachable()
    if why is not None:
        stop(f"{why}. {len(runs)} run(s) are still offline; the same command tries again")
    failed = upload(runs, say)
    say(f"uploaded: {len(runs) - len(failed)} of {len(runs)} run(s)")
    for folder, why in failed[:3]:
        say(f"failed: {folder}\n{why}", err=True)
    if failed:
        stop(f"{len(failed)} run(s) are still offline; the same command tries them again")
