"""The command `spikemark reproduce`: measure a cell again, and say whether its record stands."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.commands.git_history import ask
from benchmarks.commands.options import DATA_ROOT, RESULTS, stop
from benchmarks.output import printable, say, screen

if TYPE_CHECKING:
    from leaderboard import Record

WEIGHTS = ("*.pt", "*.pth", "*.ckpt", "*.safetensors")
LARGEST = 4e9  # bytes of a file that may be a checkpoint


@click.command()
@click.argument("cell")
@RESULTS
@DATA_ROOT
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The trained network, with the hash that the record states. By default, the file below the data "
    "root that has it; what the matrix trains is trained anew.",
)
def reproduce(cell: str, results: Path, data_root: Path | None, checkpoint: Path | None) -> None:
    """Measure CELL again and say: reproduced, within the interval, or not.

    CELL is the id of a record, or its first characters, of RESULTS or of those that come with SpikeMark. The
    cell is run anew on this machine, apart from RESULTS; what came of it is kept in RESULTS/reproductions,
    and the leaderboard's page shows it. Ends with code 1 where the record does not stand.
    """
    from leaderboard import StoreError
    from leaderboard.reference.agreement import reproduction_of, write_reproduction

    stated = _find(cell, results)
    _say_which(stated)
    again = _measure(stated, results, data_root, checkpoint)
    found = reproduction_of(stated, again)
    try:
        path = write_reproduction(results, found)
    except StoreError as error:
        stop(str(error))
    say(f"{found.verdict}{f': {printable(found.why)}' if found.why else ''}")
    say(f"kept: {printable(path)}")
    if found.verdict == "not":
        sys.exit(1)


def _find(cell: str, results: Path) -> Record:
    from benchmarks.commands.reading import with_shipped

    loaded, _ = with_shipped([results], layers=True)
    found = [record for record in loaded.records if record.cell_id.startswith(cell)]
    if len(found) == 1:
        return found[0]
    if found:
        stop(f"'{cell}' begins several cells: {', '.join(record.cell_id for record in found[:5])}")
    stop(f"no record of cell '{cell}' in {results} or among the references; the page's rows say their ids")


def _say_which(stated: Record) -> None:
    origin = stated.provenance
    say(f"{printable(stated.method.label)} on {printable(stated.dataset)}, {printable(stated.network)}")
    commit, here = origin.git_commit, ask("rev-parse", "HEAD")
    if commit and here and not here.startswith(commit):
        say(f"measured at commit {commit[:8]}, run at {here[:8]} (`git checkout {commit[:8]}` goes back)")
    say(f"measured on {printable(origin.device)}; backend {origin.backend or 'unknown'}, {origin.precision}")


def _measure(stated: Record, results: Path, data_root: Path | None, checkpoint: Path | None) -> Record:
    """Run the one cell in a folder of its own."""
    import yaml

    from benchmarks.anns import AnnStore
    from benchmarks.cells import expand
    from benchmarks.runner import run
    from benchmarks.spec import Matrix
    from benchmarks.user_errors import USER_ERRORS
    from leaderboard import ResultStore
    from leaderboard.page.reproduce import cell_matrix

    text = cell_matrix(stated)
    if text is None:
        stop(f"its configuration is not one that matrices give; run the matrix '{stated.matrix}' instead")
    content = yaml.safe_load(text) | {"tracking": {"wandb": "off"}}
    network = content["networks"][0]
    trained_here = "checkpoint" not in network
    if checkpoint is not None and trained_here and _hash(checkpoint) != stated.ann.checkpoint_sha256:
        stop(
            f"{checkpoint} is another network than the record's, whose file has the sha256 "
            f"{stated.ann.checkpoint_sha256}; without --checkpoint it is trained anew"
        )
    if not trained_here:
        network["checkpoint"] = str(checkpoint or _with_hash(stated, results, data_root))
    try:
        matrix = Matrix.model_validate(content)
        (cell,) = expand(matrix, data_root)
        if cell.id != stated.cell_id:
            stop(f"these files give cell {cell.id}, not {stated.cell_id}: the checkpoint is another one")
        with tempfile.TemporaryDirectory() as folder:
            if checkpoint is not None and trained_here:
                stored = AnnStore(Path(folder)).path_of(cell.ann)
                stored.parent.mkdir(parents=True)
                shutil.copyfile(checkpoint, stored)
            outcome = run(matrix, data_root, Path(folder), screen())
            if outcome.failures:
                stop(f"it failed: {'; '.join(why for _, why in outcome.failures)}")
            if outcome.interrupted or not outcome.finished:
                stop("it was not measured to the end", 130 if outcome.interrupted else 1)
            return ResultStore(folder).read(stated.cell_id)
    except (ValueError, *USER_ERRORS) as error:
        stop(str(error))


def _with_hash(stated: Record, results: Path, data_root: Path | None) -> Path:
    """The file of weights with the hash that a record states."""
    wanted = stated.ann.checkpoint_sha256
    folders = [folder for folder in (data_root, results / "anns") if folder is not None and folder.is_dir()]
    named = stated.provenance.checkpoint
    likely = [data_root / named] if data_root is not None and named else []
    for path in [*likely, *(path for folder in folders for kind in WEIGHTS for path in folder.rglob(kind))]:
        if path.is_file() and path.stat().st_size <= LARGEST and _hash(path) == wanted:
            return path
    where = f"'{named}'" if named else "it"
    stop(
        f"no checkpoint with sha256 {wanted} below {data_root or 'a data root (--data-root DIR)'}: "
        f"get {where}, or name the file by --checkpoint"
    )


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
