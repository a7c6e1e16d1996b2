"""A results folder as one archive: packed by one lab, merged by another.

    manifest.json              format, environment, sha256 and size of every other file, checkpoints' hashes
    records/<cell id>.json     sound records, as they are on the disk
    tuning/<study id>.json     sound studies
    anns/<id>/network.pt       trained networks, if asked for

Nothing is extracted by name. A file is read into memory, compared with the manifest, validated, and then
written by the store to the one place that its id stands for. What an archive says about paths is only ever
compared with the patterns below, so links, absolute paths, ".." and strangers cannot get out of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leaderboard.files.atomic import StoreError, unwritable, write_atomically
from leaderboard.files.plain_files import NO_PLAIN_FILE
from leaderboard.records.record import Record
from leaderboard.store.agreement import NamedNetworks
from leaderboard.store.bounds import packs_too_well, quoted, too_large
from leaderboard.store.results import LONGEST_REASON, ResultStore, parse_record
from leaderboard.store.studies import parse_study

FORMAT = 1
MANIFEST = "manifest.json"
KINDS = {
    "record": re.compile(r"records/(?P<id>[0-9a-f]{16})\.json"),
    "study": re.compile(r"tuning/(?P<id>[0-9a-f]{16})\.json"),
    "network": re.compile(r"anns/(?P<id>[0-9a-f]{16})/network\.pt"),
}
LARGEST = {"record": 256e6, "study": 256e6, "network": 4e9}  # bytes
LARGEST_MANIFEST = 256e6
# What Python's reader raises for damaged bytes: in names, in headers, in each kind of compression.
BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, UnicodeDecodeError)
SHOWN = 10  # files that an error names
UNNAMED = "no record here names it, so that nobody can tell which network it is; leave out --networks"
WhyNoNetwork = Callable[[bytes, dict[str, Any]], str | None]
Entry = tuple[str, str, str]  # name, kind, id
SAME_MOMENT = (1980, 1, 1, 0, 0, 0)  # equal results give equal archives


@dataclass
class Packed:
    """What went into an archive."""

    names: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)  # file, why


@dataclass
class Merged:
    """What came out of an archive."""

    added: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)  # already there
    kept: list[str] = field(default_factory=list)  # there with other content, which stays
    environment: dict[str, str] = field(default_factory=dict)  # of those who packed it


def pack(results: Path, out: Path, environment: dict[str, str], networks: bool = False) -> Packed:
    """Write the sound records and studies of a results folder to an archive.

    Args:
        results: the folder.
        out: file to create or replace, all or nothing.
        environment: what to say of this machine and its packages.
        networks: also the trained networks; else only their hashes.

    Raises:
        StoreError: there is nothing to pack, or a file cannot be read or written.
    """
    packed = Packed()
    files: dict[str, Path] = {}
    named = NamedNetworks()
    for path in sorted((results / "records").glob("[!.]*.json")):
        found = ResultStore(results).find(path.stem) if _id_of(path) else "no cell id"
        if isinstance(found, Record):
            files[f"records/{path.name}"] = path
            named.add(found)
        else:
            packed.left_out.append((str(path), str(found)))
    if not files:
        raise StoreError(f"no records in {results}; there is nothing to export")
    for path in filter(Path.is_file, sorted((results / "tuning").glob("[!.]*.json"))):
        if _id_of(path) and parse_study(_read(path)) is not None:
            files[f"tuning/{path.name}"] = path
    checkpoints: dict[str, str] = {}
    for path in filter(Path.is_file, sorted((results / "anns").glob("*/network.pt"))):
        id_, digest = path.parent.name, _hash(path)
        if why := _disagreement(named, id_, digest):
            if networks:
                packed.left_out.append((str(path), why))
            continue
        checkpoints[id_] = digest
        if networks:
            files[f"anns/{id_}/network.pt"] = path
    manifest = {
        "format": FORMAT,
        "environment": environment,
        "checkpoints": checkpoints,
        "files": {
            name: {"sha256": _hash(path), "bytes": path.stat().st_size} for name, path in files.items()
        },
    }
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_entry(MANIFEST), json.dumps(manifest, indent=1))
            for name, path in files.items():
                with path.open("rb") as source, archive.open(_entry(name, path), "w") as target:
                    while block := source.read(1 << 20):
                        target.write(block)
        temporary.replace(out)
    except OSError as error:
        raise unwritable(out, error) from error
    finally:
        with contextlib.suppress(OSError):  # on a folder that is only read there is nothing to remove
            temporary.unlink(missing_ok=True)
    packed.names = list(files)
    return packed


def unpack(
    archive: Path,
    results: Path,
    networks: bool = False,
    why_no_network: WhyNoNetwork = lambda content, config: None,
) -> Merged:
    """Merge an archive into a results folder, all or nothing; what is there already is never replaced.

    Args:
        archive: the file.
        results: the folder; it need not exist.
        networks: also take trained networks over, for cells that are still to be run.
        why_no_network: what is wrong with the bytes of a trained network, given the configuration that it is
            named by; None where nothing is. Asked before one is taken over.

    Raises:
        StoreError: the archive is damaged, too large, or holds what does not belong there, does not validate
            or contradicts itself; or the folder cannot be written. Nothing was imported then.
    """
    merged = Merged()
    if archive.exists() and not archive.is_file():  # a pipe would wait for ever
        raise StoreError(f"{archive} {NO_PLAIN_FILE}, so it cannot be an archive")
    try:
        with zipfile.ZipFile(archive) as opened:
            large = too_large(opened.infolist(), archive.stat().st_size, "anns/")
            if large is not None:
                raise StoreError(f"{archive} {large}; nothing was imported")
            manifest = _manifest(opened, archive)
            entries = _checked(opened, manifest, archive)
            merged.environment = _strings(manifest.get("environment"))
            _validate(opened, manifest, entries, archive, why_no_network if networks else None)
            _write(opened, manifest, entries, results, networks, merged)
            return merged
    except StoreError:
        raise
    except (OSError, EOFError, zipfile.LargeZipFile, NotImplementedError, RuntimeError, *BROKEN) as error:
        why = str(error)  # which quotes names
        why = why if len(why) <= LONGEST_REASON else f"{why[:LONGEST_REASON]} ..."
        raise StoreError(f"{archive} cannot be read as an archive: {why}") from error


def _validate(
    opened: zipfile.ZipFile,
    manifest: dict[str, Any],
    entries: list[Entry],
    archive: Path,
    why_no_network: WhyNoNetwork | None,
) -> None:
    """Look at every file before the first is written.

    Raises:
        StoreError: some are not sound; names them.
    """
    refused: list[tuple[str, str]] = []
    named = NamedNetworks()
    for name, kind, id_ in entries:
        if kind == "record":
            record = parse_record(opened.read(name), id_)
            if isinstance(record, str):
                refused.append((name, record))
            else:
                named.add(record)
        elif kind == "study":
            study = parse_study(opened.read(name))
            if study is None or study.tuning.study != id_:
                refused.append((name, "no sound study of that id"))
    stated = _strings(manifest.get("checkpoints"))
    packed = {id_: manifest["files"][name]["sha256"] for name, kind, id_ in entries if kind == "network"}
    for id_, digest in {**stated, **packed}.items():
        place = f"anns/{id_}/network.pt"
        if id_ in packed and stated.get(id_) != digest:
            refused.append((place, f"its sha256 is not the one that {MANIFEST} states for the checkpoint"))
        elif id_ in named and (why := named[id_].contradiction(digest)):
            refused.append((place, why))
        elif id_ in packed and why_no_network is not None:
            unknown = None if id_ in named else UNNAMED
            if why := unknown or why_no_network(opened.read(place), named[id_].config):
                refused.append((place, why))
    if refused:
        lines = [f"  {name}: {why}" for name, why in refused[:SHOWN]]
        more = [f"  and {len(refused) - SHOWN} more"] if len(refused) > SHOWN else []
        head = f"{archive}: {len(refused)} file(s) are not sound, so nothing was imported:"
        advice = "Ask for the archive again; `spikemark check-results` names damaged files where it came from"
        raise StoreError("\n".join([head, *lines, *more, advice]))


def _write(
    opened: zipfile.ZipFile,
    manifest: dict[str, Any],
    entries: list[Entry],
    results: Path,
    networks: bool,
    merged: Merged,
) -> None:
    """Write what was validated; on any error, what was written is taken back."""
    try:
        for name, kind, _ in entries:
            if kind != "network" or networks:
                content = opened.read(name)
                if hashlib.sha256(content).hexdigest() != manifest["files"][name]["sha256"]:
                    raise StoreError(f"{name} changed while the archive was read; nothing was imported")
                _add(content, name, results, merged)
    except BaseException:
        for name in merged.added:
            with contextlib.suppress(OSError):
                (results / name).unlink(missing_ok=True)
        raise


def _disagreement(named: NamedNetworks, id_: str, digest: str) -> str | None:
    return named[id_].contradiction(digest) if id_ in named else UNNAMED


def _add(content: bytes, name: str, results: Path, merged: Merged) -> None:
    target = results / name  # `name` matches a pattern of KINDS as a whole
    if target.exists():
        (merged.same if target.read_bytes() == content else merged.kept).append(name)
        return
    write_atomically(target, content)
    merged.added.append(name)


def _manifest(opened: zipfile.ZipFile, archive: Path) -> dict[str, Any]:
    try:
        info = opened.getinfo(MANIFEST)
        if info.file_size > LARGEST_MANIFEST:
            raise ValueError("too large")
        manifest = json.loads(opened.read(info))
        if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
            raise ValueError("no list of files")
    except (KeyError, ValueError, RecursionError) as error:
        raise StoreError(f"{archive} has no readable {MANIFEST}, so spikemark did not export it") from error
    if manifest.get("format") != FORMAT:
        raise StoreError(
            f"{archive} has format {quoted(manifest.get('format'))}, this SpikeMark reads {FORMAT}; update it"
        )
    return manifest


def _checked(opened: zipfile.ZipFile, manifest: dict[str, Any], archive: Path) -> list[Entry]:
    """Name, kind and id of every file, each compared with the manifest; networks last."""
    infos = [info for info in opened.infolist() if info.filename != MANIFEST]
    names = [info.filename for info in infos]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice or (odd := sorted(set(names) ^ set(manifest["files"]))):
        what = (
            f"holds {quoted(twice[0])} twice" if twice else f"and its {MANIFEST} differ in {quoted(odd[0])}"
        )
        raise StoreError(f"{archive} {what}, so it is damaged or forged; nothing was imported")
    found = []
    for info in infos:
        kind, id_ = _kind(info, archive)
        stated = manifest["files"][info.filename]
        digest, size = _hash_entry(opened, info, LARGEST[kind], archive)
        if not isinstance(stated, dict) or (stated.get("sha256"), stated.get("bytes")) != (digest, size):
            raise StoreError(
                f"{archive} is damaged: {info.filename} is not what {MANIFEST} says; ask for it again"
            )
        found.append((info.filename, kind, id_))
    return found


def _kind(info: zipfile.ZipInfo, archive: Path) -> tuple[str, str]:
    mode = info.external_attr >> 16
    if info.is_dir() or (stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
        raise StoreError(f"{archive}: {quoted(info.filename)} is no plain file; nothing was imported")
    for kind, pattern in KINDS.items():
        if match := pattern.fullmatch(info.filename):
            return kind, match["id"]
    raise StoreError(
        f"{archive}: {quoted(info.filename)} does not belong into a results folder; nothing was imported"
    )


def _hash_entry(
    opened: zipfile.ZipFile, info: zipfile.ZipInfo, most: float, archive: Path
) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with opened.open(info) as stream:
        while block := stream.read(1 << 20):
            size += len(block)
            if size > most:
                raise StoreError(
                    f"{archive}: {info.filename} is larger than {most / 1e6:.0f} MB; nothing was imported"
                )
            digest.update(block)
    return digest.hexdigest(), size


def _entry(name: str, path: Path | None = None) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, SAME_MOMENT)
    stored = path is not None and (path.suffix == ".pt" or packs_too_well(path.read_bytes()))
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


def _id_of(path: Path) -> bool:
    return re.fullmatch(r"[0-9a-f]{16}", path.stem) is not None


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _strings(value: Any) -> dict[str, str]:
    return {str(key): str(entry) for key, entry in value.items()} if isinstance(value, dict) else {}
