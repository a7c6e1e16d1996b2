"""The command `spikemark reference`: the records that come with SpikeMark, and how they are renewed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from benchmarks.commands.exchange import environment
from benchmarks.commands.git_history import knows
from benchmarks.commands.options import stop
from benchmarks.execution.times import in_bytes
from benchmarks.output import printable, say


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--update", is_flag=True, help="Pack the records of results FOLDERS as references.")
def reference(folders: tuple[Path, ...], update: bool) -> None:
    """Show the reference records that come with SpikeMark; with --update FOLDERS, renew them.

    References are records that anybody can measure again: of a commit of this repository without changes.
    Others are refused, and then nothing is written. There is one archive for each task and data set; a cell
    that was measured again replaces its older record, the others stay.
    """
    from leaderboard import StoreError

    try:
        if update:
            _update(folders)
        elif folders:
            stop("results folders are read only with --update")
        else:
            _show()
    except StoreError as error:
        stop(str(error))


def _update(folders: tuple[Path, ...]) -> None:
    from leaderboard.reference.packing import update

    if not folders:
        stop("name the results folders to pack, e.g. spikemark reference --update results")
    for done in update(folders, environment(), knows):
        counts = f"{done.added} added, {done.replaced} replaced, {done.kept} kept"
        if done.dropped:
            counts += f", {done.dropped} of an older version of the benchmark dropped"
        say(f"{printable(done.path)}: {counts} ({in_bytes(done.path.stat().st_size)})")
    say("`spikemark leaderboard` ranks them; `python docs/make_texts.py` renews the texts drawn from them")


def _show() -> None:
    from leaderboard import rank
    from leaderboard.ranking import wording
    from leaderboard.reference.shipped import load_shipped

    shipped = load_shipped(layers=False)
    if not shipped.records:
        say(
            "no reference records come with this SpikeMark; `spikemark reference --update RESULTS` packs some"
        )
        return
    for board in rank(shipped.records, shipped.origins):
        records = [record for row in board.rows for record in row.records]
        commits = Counter((r.provenance.git_commit or "unknown")[:8] for r in records)
        days = sorted(r.provenance.created[:10] for r in records)
        origins = Counter(shipped.origins[record.cell_id] for record in records)
        say(printable(board.title))
        say(f"  {printable(wording.heading(board, in_full=True))}")
        say(f"  {', '.join(f'{count} {origin}' for origin, count in origins.items())} records")
        say(f"  version {board.benchmark_version} of the benchmark, {days[0]} to {days[-1]}")
        say(f"  commits: {', '.join(commits)}")
        say(f"  devices: {printable('; '.join(sorted({r.provenance.device for r in records})))}")
