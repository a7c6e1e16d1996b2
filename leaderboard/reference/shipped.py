"""Reference records and submissions, as they lie in the package.

They were checked when they came in (`packing`, `submissions`), and a test reads all of them with every check.
Here only their schema is checked: scoring their outcomes again would take seconds. Where a file is damaged,
the installation is broken.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from leaderboard.files.atomic import StoreError
from leaderboard.ranking.families import Origin
from leaderboard.ranking.kept_answers import remember
from leaderboard.records.record import Record
from leaderboard.reference.agreement import agreement
from leaderboard.store.archive import BROKEN, KINDS
from leaderboard.store.results import no_garbage, parse_record, without_layers

HERE = Path(__file__).parent
SUBMITTED = "submitted"
ANSWERS = "answers.json"


@dataclass(frozen=True)
class Shipped:
    """Records of the package, one a cell."""

    records: list[Record]
    origins: dict[str, Origin]  # cell id -> "reference", "verified" or "claimed"

    @property
    def references(self) -> list[Record]:
        """Those that the maintainers measured, without claims of others."""
        return [record for record in self.records if self.origins[record.cell_id] != "claimed"]


def load_shipped(folder: Path | None = None, *, layers: bool = True) -> Shipped:
    """Reference records and submissions; of one cell the reference stands.

    Args:
        folder: with the archives; None: those of this package.
        layers: as for `ResultStore.load`.

    Raises:
        StoreError: an archive cannot be read, or holds a record that is not sound.
    """
    folder = folder or HERE
    with no_garbage():
        references, claimed = _by_cell(folder), _by_cell(folder / SUBMITTED)
    origins: dict[str, Origin] = dict.fromkeys(claimed, "claimed")
    origins |= dict.fromkeys(references, "reference")
    for cell_id in claimed.keys() & references.keys():
        agrees = agreement(claimed[cell_id], references[cell_id]).holds
        origins[cell_id] = "verified" if agrees else "reference"
    records = list({**claimed, **references}.values())
    if (kept := folder / ANSWERS).exists():
        remember(json.loads(kept.read_text(encoding="utf-8")))
    return Shipped(records if layers else [without_layers(record) for record in records], origins)


def archives(folder: Path) -> list[Path]:
    """The archives of a folder, by name."""
    return sorted(folder.glob("*.zip"))


def records_of(archive: Path) -> Iterator[Record]:
    """Every record of an archive.

    Raises:
        StoreError: it cannot be read, or a record is not sound.
    """
    for name, content in contents_of(archive):
        match = KINDS["record"].fullmatch(name)
        if match is not None:
            record = parse_record(content, match["id"], checked=True)
            if isinstance(record, str):
                raise StoreError(f"{archive}: {name}: {record}; install SpikeMark again")
            yield record


def contents_of(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file of an archive of this package.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                yield info.filename, opened.read(info)
    except (OSError, EOFError, RuntimeError, *BROKEN) as error:
        raise StoreError(f"{archive} cannot be read: {error}; install SpikeMark again") from error


def _by_cell(folder: Path) -> dict[str, Record]:
    return {record.cell_id: record for archive in archives(folder) for record in records_of(archive)}
