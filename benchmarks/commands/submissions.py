"""The command `spikemark validate`: is an archive of records fit to stand on the boards?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmarks.commands.git_history import knows
from benchmarks.commands.options import stop
from benchmarks.output import printable, say

SHOWN = 30  # problems that are named


@click.command()
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--base",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The archive that this one replaces: none of its cells may be lost.",
)
@click.option(
    "--difference",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what ARCHIVE changes on the boards to this file, as Markdown.",
)
def validate(archive: Path, base: Path | None, difference: Path | None) -> None:
    """Check ARCHIVE, which `spikemark export` wrote, as a submission to the boards.

    Looks at hashes, schema, version of the benchmark, commits, counts that no network can have, energies that
    do not follow from counts, cells that are there already, and cells that were there and are lost. Ends
    with code 1 where something is wrong.
    """
    from leaderboard import StoreError, rank
    from leaderboard.files.atomic import write_text_atomically
    from leaderboard.reference.board_difference import board_difference
    from leaderboard.reference.shipped import HERE, SUBMITTED, archives, load_shipped, records_of
    from leaderboard.reference.submissions import problems, read_submission

    try:
        records = read_submission(archive)
        others = [
            each
            for each in [*archives(HERE), *archives(HERE / SUBMITTED)]
            if each.parent == HERE or each.name != archive.name
        ]
        known = {record.cell_id: each.name for each in others for record in records_of(each)}
        before = [] if base is None else read_submission(base)
        found = problems(records, known, before, knows)
        shipped = load_shipped(layers=False)
        for line in found[:SHOWN]:
            say(f"wrong: {printable(line)}", err=True)
        if len(found) > SHOWN:
            say(f"and {len(found) - SHOWN} more", err=True)
        ours = {record.cell_id for record in records}
        tasks = {record.task for record in [*records, *before]}  # no other board can change
        kept = [each for each in shipped.records if each.task in tasks and each.cell_id not in ours]
        boards = rank([*kept, *records], shipped.origins | dict.fromkeys(ours, "claimed"))
        if difference is not None:
            earlier = rank(kept, shipped.origins)
            write_text_atomically(difference, board_difference(earlier, boards) + "\n")
    except StoreError as error:
        stop(str(error))
    for board in boards:
        rows = [row for row in board.rows if any(record.cell_id in ours for record in row.records)]
        for row in rows:
            say(f"{printable(board.title)}: {printable(row.label)}, {row.division} division, {row.group}")
    if found:
        things = "1 thing is" if len(found) == 1 else f"{len(found)} things are"
        say(f"{things} wrong with {printable(archive)}", err=True)
        sys.exit(1)
    say(f"sound: {len(records)} record{'' if len(records) == 1 else 's'}")
