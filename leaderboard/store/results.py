"""The result store: a folder with one JSON file per finished cell.

    <folder>/records/<cell_id>.json

The cell id is the hash of the cell's resolved configuration, so a file's name says what was
measured, a finished cell is recognised without an index, and several workers can share a folder. A
file that does not hold a sound record is set aside and named: it never stops the others from being
read, and it is never passed over in silence.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from leaderboard.files.atomic import StoreError, write_text_atomically
from leaderboard.files.plain_files import LARGEST, NO_PLAIN_FILE, read_plain
from leaderboard.records.record import SCHEMA_VERSION, Record
from leaderboard.records.upgrades import upgrade
from leaderboard.statistics.energies import completed
from leaderboard.store.checks import inconsistency

CELL_ID = re.compile(r"[0-9a-f]{16}")
LONGEST_REASON = 400  # characters
TOO_LITTLE_MEMORY = "asks for more memory than there is"


@dataclass(frozen=True)
class Invalid:
    """A file that was set aside."""

    path: Path
    reason: str  # one line


@dataclass(frozen=True)
class Loaded:
    """Everything found in a store, in the order of the cell ids."""

    records: list[Record]
    invalid: list[Invalid]


class ResultStore:
    """Reads and writes the records of one folder.

    Args:
        folder: results folder; it need not exist before the first write.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path_of(self, cell_id: str) -> Path:
        """Where the record of a cell lies, whether or not it exists yet.

        Raises:
            ValueError: not a cell id; nothing else can name a file here.
        """
        if CELL_ID.fullmatch(cell_id) is None:
            raise ValueError(f"a cell id is 16 characters of 0-9 and a-f, got {cell_id!r}")
        return self.folder / "records" / f"{cell_id}.json"

    def find(self, cell_id: str) -> Record | str | None:
        """The record of a cell; why its file is no sound record; or None where there is no file."""
        path = self.path_of(cell_id)
        return _parse(path) if path.exists() else None

    def has(self, cell_id: str) -> bool:
        """Whether a sound record of this cell exists; a damaged file counts as missing."""
        return isinstance(_parse(self.path_of(cell_id)), Record)

    def write(self, record: Record) -> Path:
        """Store a record, all or nothing, replacing an older one of the same cell.

        Returns:
            The file written.

        Raises:
            StoreError: the folder cannot be written, or the record contradicts itself or holds
                what JSON cannot.
        """
        path = self.path_of(record.cell_id)
        try:
            # Not pydantic's own JSON, which turns a NaN in config or parts into null without a word.
            text = json.dumps(record.model_dump(), indent=1, ensure_ascii=False, allow_nan=False)
            text.encode("utf-8")
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"refused to write {path}: {error}. Replace such values in config, parts or names."
            ) from error
        reason = inconsistency(record)
        if reason is not None:
            raise StoreError(f"refused to write {path}: {reason}. The code that measured it has a bug.")
        write_text_atomically(path, text + "\n")
        return path

    def read(self, cell_id: str) -> Record:
        """The record of a cell.

        Raises:
            StoreError: there is none, or the file is damaged; says which and what to do.
        """
        path = self.path_of(cell_id)
        result = _parse(path)
        if isinstance(result, str):
            raise StoreError(f"{path}: {result}. Run the cell again to replace it.")
        return result

    def load(self, *, layers: bool = True) -> Loaded:
        """Every record of the folder; a folder without any gives two empty lists.

        Args:
            layers: False drops what single layers spent (spikes, energies) once a record has been
                validated. No ranking needs it, and without it a command takes a third less memory.
        """
        loaded = Loaded(records=[], invalid=[])
        with no_garbage():
            for path in self._paths():
                result = _parse(path)
                if isinstance(result, Record):
                    loaded.records.append(result if layers else without_layers(result))
                else:
                    loaded.invalid.append(Invalid(path, result))
        return loaded

    def _paths(self) -> Iterator[Path]:
        folder = self.folder / "records"
        names = os.listdir(folder) if folder.is_dir() else []
        return (folder / name for name in sorted(names) if name.endswith(".json") and name[0] != ".")


def without_layers(record: Record) -> Record:
    """A record that nobody else has seen yet, in place: records are frozen, and copies would cost more."""
    for point in record.curve:
        vars(point).update(spikes={}, energy_layers_pj=None)
    vars(record.provenance).update(conversion=[])
    return record


@contextlib.contextmanager
def no_garbage() -> Iterator[None]:
    """Keep the collector from walking through every record read so far, again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _parse(path: Path) -> Record | str:
    """The record in a file, or one line saying why there is none."""
    if CELL_ID.fullmatch(path.stem) is None:
        return "the file name is not a cell id (16 characters of 0-9 and a-f)"
    try:
        content = read_plain(path, LARGEST)
    except FileNotFoundError:
        return "no such record"
    except OSError as error:
        why = str(error.strerror or error)
        return why if why == NO_PLAIN_FILE else f"cannot be read: {why}"
    except MemoryError:
        return TOO_LITTLE_MEMORY
    return parse_record(content, path.stem)


def parse_record(content: bytes, cell_id: str, *, checked: bool = False) -> Record | str:
    """The record in the bytes of a file that is named after `cell_id`, or one line saying why there is none.

    Records of older schema versions are upgraded, and energy models that a record has no figures of are
    computed from its counts. `checked`: its figures were found to fit each other before.
    """
    try:
        found = _sound(content, cell_id, checked=checked) or _explained(content, cell_id)
        return completed(found) if isinstance(found, Record) else _shortened(found)
    except MemoryError:
        return TOO_LITTLE_MEMORY


def _sound(content: bytes, cell_id: str, *, checked: bool = False) -> Record | None:
    """The record, if nothing is wrong with it: read in one go, three times faster than step by step."""
    try:
        record = Record.model_validate_json(content)
    except (ValidationError, RecursionError):
        return None
    named = record.schema_version == SCHEMA_VERSION and record.cell_id == cell_id
    return record if named and (checked or inconsistency(record) is None) else None


def _explained(content: bytes, cell_id: str) -> Record | str:
    """The record after an upgrade, or what is wrong, found step by step."""
    try:
        payload: Any = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return f"is not JSON: {_one_line(error)}"
    if not isinstance(payload, dict):
        return f"holds a JSON {type(payload).__name__}, not a record"
    version = payload.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        return f"schema_version must be a whole number, got {version!r}"
    if version > SCHEMA_VERSION:
        return f"written by a newer SpikeMark (schema {version}, this one reads {SCHEMA_VERSION})"
    try:
        payload = upgrade(payload, version, SCHEMA_VERSION)
    except (KeyError, TypeError, AttributeError) as error:
        return _one_line(f"is no record of schema {version}: {error!r}")
    return _validate(payload, cell_id)


def _validate(payload: dict[str, Any], cell_id: str) -> Record | str:
    try:
        record = Record.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        return _one_line(f"field {where}: {first['msg']}{more}")
    if record.cell_id != cell_id:
        return f"is named after another cell than it holds ({record.cell_id})"
    return inconsistency(record) or record


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split())


def _shortened(reason: str) -> str:
    """What a file says may be quoted in it, and be of any length."""
    return reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} ..."
