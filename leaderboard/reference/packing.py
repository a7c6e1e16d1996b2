"""Write reference archives: one for each task and data set, in the form of `spikemark export`."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leaderboard.files.atomic import StoreError
from leaderboard.records.record import BENCHMARK_VERSION, Record
from leaderboard.reference import answers, shipped
from leaderboard.reference.fitness import KnowsCommit, unfit
from leaderboard.reference.shipped import archives, contents_of
from leaderboard.store.archive import KINDS, pack
from leaderboard.store.results import ResultStore, parse_record

SHOWN = 10  # records that an error names


@dataclass(frozen=True)
class Updated:
    """What became of one archive."""

    path: Path
    added: int  # cells that were not there
    replaced: int  # cells that were measured again
    kept: int
    dropped: int  # of an older version of the benchmark


def update(
    folders: Sequence[Path], environment: Mapping[str, str], knows: KnowsCommit, target: Path | None = None
) -> list[Updated]:
    """Pack the records of results folders as references, beside those that are there.

    Args:
        folders: results folders; of one cell in several, the newest record stands.
        environment: what to say of this machine and its packages.
        knows: whether a commit belongs to the history of this repository.
        target: folder of the archives; None: that of this package.

    Raises:
        StoreError: a record may not be a reference, or a file is no record, so nothing was written; or the
            folder cannot be written.
    """
    found: dict[str, tuple[Record, bytes]] = {}
    refused: list[str] = []
    for folder in folders:
        loaded = ResultStore(folder).load()
        refused += [f"{each.path}: {each.reason}" for each in loaded.invalid]
        if not loaded.records:
            raise StoreError(f"no records in {folder}; there is nothing to pack")
        for record in loaded.records:
            path = ResultStore(folder).path_of(record.cell_id)
            if why := unfit(record, knows):
                refused.append(f"{path} ({record.method.label}): {why}")
            before = found.get(record.cell_id)
            if before is None or before[0].provenance.created <= record.provenance.created:
                found[record.cell_id] = record, path.read_bytes()
    if refused:
        lines = [f"  {why}" for why in refused[:SHOWN]]
        more = [f"  and {len(refused) - SHOWN} more"] if len(refused) > SHOWN else []
        raise StoreError("\n".join(["these cannot be references, so nothing was written:", *lines, *more]))
    named: dict[str, dict[str, tuple[Record, bytes]]] = {}
    for cell_id, each in found.items():
        named.setdefault(archive_name(each[0]), {})[cell_id] = each
    target = target or shipped.HERE
    done = [_write(target / name, cells, environment) for name, cells in sorted(named.items())]
    answers.write(target)
    return done


def archive_name(record: Record) -> str:
    """Of the archive that a record belongs to, e.g. "classification-cifar-10.zip"."""
    plain = re.sub(r"[^a-z0-9]+", "-", f"{record.task} {record.dataset}".lower()).strip("-")
    return f"{plain}.zip"


def _write(path: Path, cells: Mapping[str, tuple[Record, bytes]], environment: Mapping[str, str]) -> Updated:
    kept: dict[str, bytes] = {}
    replaced = dropped = 0
    for name, content in contents_of(path) if path in archives(path.parent) else ():
        match = KINDS["record"].fullmatch(name)
        if match is None:
            continue
        record = parse_record(content, match["id"])
        if match["id"] in cells:
            replaced += 1
        elif isinstance(record, Record) and record.benchmark_version == BENCHMARK_VERSION:
            kept[match["id"]] = content
        else:
            dropped += 1
    with tempfile.TemporaryDirectory() as folder:
        records = Path(folder) / "records"
        records.mkdir()
        for cell_id, content in {**kept, **{cell: content for cell, (_, content) in cells.items()}}.items():
            (records / f"{cell_id}.json").write_bytes(content)
        pack(Path(folder), path, dict(environment))
    return Updated(path, len(cells) - replaced, replaced, len(kept), dropped)
