"""What leaves a results folder comes back in another; nothing else gets in."""

from __future__ import annotations

import hashlib
import json
import os
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leaderboard.files.atomic import StoreError
from leaderboard.records.record import Record, content_hash
from leaderboard.store.archive import MANIFEST, pack, unpack
from leaderboard.store.results import ResultStore

Make = Callable[..., Record]
HERE = {"python": "3.11"}


WEIGHTS = hashlib.sha256(b"weights").hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def lab(make: Make, tmp_path: Path) -> tuple[Path, list[Record]]:
    folder = tmp_path / "lab"
    records = [make(seed=seed, checkpoint=WEIGHTS) for seed in (0, 1)]
    for record in records:
        ResultStore(folder).write(record)
    network = folder / network_of(records[0])
    network.parent.mkdir(parents=True)
    network.write_bytes(b"weights")
    return folder, records


def network_of(record: Record) -> str:
    return f"anns/{content_hash(record.config['ann'])}/network.pt"


def files_of(folder: Path) -> dict[str, bytes]:
    """What an archive with networks holds."""
    kinds = ("records/*.json", "anns/*/*.pt")
    return {str(p.relative_to(folder)): p.read_bytes() for kind in kinds for p in folder.glob(kind)}


def forged(path: Path, content: dict[str, bytes], mode: int = stat.S_IFREG | 0o644, **manifest: Any) -> Path:
    """An archive whose manifest is true to its files."""
    listed = {n: {"sha256": hashlib.sha256(d).hexdigest(), "bytes": len(d)} for n, d in content.items()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST, json.dumps({"format": 1, "environment": {}, "files": listed} | manifest))
        for name, data in content.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return path


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_records_travel_whole(lab: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = lab
    packed = pack(folder, tmp_path / "lab.zip", HERE)
    assert (len(packed.names), packed.left_out) == (2, [])
    merged = unpack(tmp_path / "lab.zip", tmp_path / "home")
    assert sorted(merged.added) == sorted(packed.names)
    assert merged.environment == HERE
    assert everything(tmp_path / "home" / "records") == everything(folder / "records")
    assert not (tmp_path / "home" / "anns").exists()
    again = unpack(tmp_path / "lab.zip", tmp_path / "home")
    assert (len(again.added), len(again.same), again.kept) == (0, 2, [])
    with zipfile.ZipFile(tmp_path / "lab.zip") as archive:
        manifest = json.loads(archive.read(MANIFEST))
    assert manifest["checkpoints"] == {content_hash(records[0].config["ann"]): WEIGHTS}


def test_equal_results_give_equal_archives_and_networks_travel_if_asked(
    lab: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = lab
    for name in ("one.zip", "two.zip"):
        pack(folder, tmp_path / name, HERE, networks=True)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    unpack(tmp_path / "one.zip", tmp_path / "without")
    assert not (tmp_path / "without" / "anns").exists()
    unpack(tmp_path / "one.zip", tmp_path / "with", networks=True)
    assert (tmp_path / "with" / network_of(records[0])).read_bytes() == b"weights"


def test_what_is_there_stays(lab: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = lab
    pack(folder, tmp_path / "lab.zip", HERE)
    mine = ResultStore(tmp_path / "home")
    mine.write(records[0].model_copy(update={"matrix": "mine"}))
    merged = unpack(tmp_path / "lab.zip", tmp_path / "home")
    assert merged.kept == [f"records/{records[0].cell_id}.json"]
    assert mine.read(records[0].cell_id).matrix == "mine"


def test_damaged_records_are_left_out_and_named(lab: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = lab
    ResultStore(folder).path_of(records[0].cell_id).write_text("{")
    packed = pack(folder, tmp_path / "lab.zip", HERE)
    assert len(packed.names) == 1
    assert "is not JSON" in packed.left_out[0][1]
    with pytest.raises(StoreError, match="no records in"):
        pack(tmp_path / "nowhere", tmp_path / "x.zip", HERE)


def test_an_archive_that_cannot_be_written_is_one_clear_error(
    lab: tuple[Path, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a folder that is only read, where there is no removing either."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match=r"cannot write .*lab\.zip: Read-only file system\. Make the folder"):
        pack(lab[0], tmp_path / "lab.zip", HERE)


@pytest.mark.parametrize(
    "name",
    [
        "../records/aaaaaaaaaaaaaaaa.json",
        "/etc/passwd",
        "records/../../evil.json",
        "records/aaaaaaaaaaaaaaaa.json/x",
        "records/aaaaaaaaaaaaaaaa.json\n",
        "records\\aaaaaaaaaaaaaaaa.json",
        "records/AAAAAAAAAAAAAAAA.json",
        "anns/aaaaaaaaaaaaaaaa/last.ckpt",
        "claims/cell-aaaaaaaaaaaaaaaa.json",
        "evil.py",
    ],
)
def test_no_name_gets_out_of_the_folder(tmp_path: Path, name: str) -> None:
    archive = forged(tmp_path / "evil.zip", {name: b"evil"})
    with pytest.raises(StoreError, match=r"does not belong|damaged"):
        unpack(archive, tmp_path / "home", networks=True)
    assert everything(tmp_path) == {"evil.zip": archive.read_bytes()}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFCHR])
def test_only_plain_files_get_in(tmp_path: Path, kind: int) -> None:
    archive = forged(tmp_path / "evil.zip", {f"records/{'a' * 16}.json": b"/etc/passwd"}, kind | 0o777)
    with pytest.raises(StoreError, match="no plain file; nothing was imported"):
        unpack(archive, tmp_path / "home")


def test_a_changed_or_missing_or_added_file_is_noticed(
    lab: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, _ = lab
    files = {f"records/{p.name}": p.read_bytes() for p in (folder / "records").iterdir()}
    first = next(iter(files))
    truth = {n: {"sha256": hashlib.sha256(d).hexdigest(), "bytes": len(d)} for n, d in files.items()}
    for changed in (
        files | {first: files[first].replace(b"0.9", b"0.8")},
        {first: files[first]},
        files | {f"records/{'b' * 16}.json": b"{}"},
    ):
        archive = forged(tmp_path / "evil.zip", changed, files=truth)
        with pytest.raises(StoreError, match="is damaged"):
            unpack(archive, tmp_path / "home")
    with zipfile.ZipFile(archive, "a") as again, pytest.warns(UserWarning, match="Duplicate name"):
        again.writestr(first, b"{}")
    with pytest.raises(StoreError, match=f"holds '{first}' twice"):
        unpack(archive, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_networks_are_taken_over_only_as_stated_and_sound(
    lab: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = lab
    name, files = network_of(records[0]), files_of(folder)
    id_ = name.split("/")[1]
    for content, hashes, reason in (
        (b"others", {id_: WEIGHTS}, f"{name}: its sha256 is not the one that manifest.json states"),
        (b"weights", {}, f"{name}: its sha256 is not the one that manifest.json states"),
        (b"others", {id_: sha256(b"others")}, f"{name}: its sha256 is not the one that the record of cell"),
        (b"weights", {id_: WEIGHTS}, f"{name}: no weights of {{'seed'"),
    ):
        archive = forged(tmp_path / "evil.zip", files | {name: content}, checkpoints=hashes)
        with pytest.raises(StoreError, match=r"1 file\(s\) are not sound, so nothing was imported") as caught:
            unpack(archive, tmp_path / "home", True, lambda _, config: f"no weights of {config}")
        assert f"\n  {reason}" in str(caught.value)
    assert not (tmp_path / "home").exists()


def test_a_record_that_contradicts_a_network_is_refused_even_without_networks(
    lab: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = lab
    name, files = network_of(records[0]), files_of(folder)
    hashes = {name.split("/")[1]: WEIGHTS}
    path = f"records/{records[0].cell_id}.json"
    forgery = json.loads(files[path])
    forgery["ann"]["checkpoint_sha256"] = "f" * 64
    for content in (files | {path: json.dumps(forgery).encode()},):
        for one in (content, {n: c for n, c in content.items() if n != name}):  # beside it, or stated alone
            archive = forged(tmp_path / "evil.zip", one, checkpoints=hashes)
            with pytest.raises(StoreError, match="not the one that the record of cell"):
                unpack(archive, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_network_that_no_record_names_is_not_taken_over(
    lab: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, _ = lab
    stray = f"anns/{'b' * 16}/network.pt"
    hashes = {name.split("/")[1]: WEIGHTS for name in [stray, *files_of(folder)] if "anns" in name}
    archive = forged(tmp_path / "x.zip", files_of(folder) | {stray: b"weights"}, checkpoints=hashes)
    with pytest.raises(StoreError, match=r"no record here names it.*; leave out --networks"):
        unpack(archive, tmp_path / "home", networks=True)
    assert not (tmp_path / "home").exists()
    assert len(unpack(archive, tmp_path / "home").added) == 2


def test_what_would_not_be_imported_is_not_exported(lab: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = lab
    (folder / network_of(records[0])).write_bytes(b"made again")
    (folder / "anns" / ("b" * 16)).mkdir()
    (folder / "anns" / ("b" * 16) / "network.pt").write_bytes(b"of no record")
    packed = pack(folder, tmp_path / "lab.zip", HERE, networks=True)
    assert sorted(why.split(" ")[0] for _, why in packed.left_out) == ["its", "no"]
    assert len(unpack(tmp_path / "lab.zip", tmp_path / "home", networks=True).added) == 2


@pytest.mark.parametrize("many", [1, 300])
def test_an_archive_that_unpacks_to_much_more_than_it_is_is_never_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, "{}")
        for index in range(many):
            archive.writestr(f"records/{index:016x}.json", b" " * (30_000_000 // many))
    opened: list[Any] = []
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *a, **k: opened.append(a))
    with pytest.raises(StoreError, match=r"bomb\.zip .*unpacks to 30 MB.*; nothing was imported"):
        unpack(tmp_path / "bomb.zip", tmp_path / "home")
    assert opened == []


def test_what_compresses_well_still_travels(lab: tuple[Path, list[Record]], tmp_path: Path) -> None:
    folder, records = lab
    path = ResultStore(folder).path_of(records[0].cell_id)
    path.write_bytes(path.read_bytes() + b" " * 3_000_000)  # JSON allows that
    pack(folder, tmp_path / "lab.zip", HERE)
    assert len(unpack(tmp_path / "lab.zip", tmp_path / "home").added) == 2


def test_damaged_compression_is_named(tmp_path: Path) -> None:
    name = f"records/{'a' * 16}.json"
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        listed = {"format": 1, "files": {name: {"sha256": "", "bytes": 0}}}
        archive.writestr(MANIFEST, json.dumps(listed))
        archive.writestr(name, bytes(range(256)) * 40)
        begin = archive.getinfo(name).header_offset + 30 + len(name)
    damaged = bytearray((tmp_path / "x.zip").read_bytes())
    damaged[begin] = 0b111  # a kind of block that does not exist
    (tmp_path / "x.zip").write_bytes(damaged)
    with pytest.raises(StoreError, match=r"x\.zip cannot be read as an archive: .*invalid block type"):
        unpack(tmp_path / "x.zip", tmp_path / "home")


def test_a_disk_that_fills_leaves_nothing_behind(
    lab: tuple[Path, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(lab[0], tmp_path / "lab.zip", HERE)
    sync = os.fsync

    def filling(descriptor: int) -> None:
        if list(tmp_path.glob("home/records/*.json")):
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", filling)
    with pytest.raises(StoreError, match=r"No space left"):
        unpack(tmp_path / "lab.zip", tmp_path / "home")
    assert files_of(tmp_path / "home") == {}
    monkeypatch.undo()
    merged = unpack(tmp_path / "lab.zip", tmp_path / "home")
    assert (len(merged.added), len(merged.same)) == (2, 0)


def test_what_does_not_validate_is_named_and_nothing_is_imported(
    lab: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, records = lab
    good = f"records/{records[0].cell_id}.json"
    other = records[1].model_dump()
    files = {
        good: (folder / good).read_bytes(),
        f"records/{'b' * 16}.json": json.dumps(other | {"cell_id": "b" * 16}).encode(),
        f"records/{'c' * 16}.json": b'{"schema_version": 2}',
        f"tuning/{'d' * 16}.json": b"{}",
    }
    with pytest.raises(StoreError, match=r"3 file\(s\) are not sound, so nothing was imported") as caught:
        unpack(forged(tmp_path / "mixed.zip", files), tmp_path / "home")
    lines = str(caught.value).splitlines()
    assert f"  records/{'b' * 16}.json: config is not the one that cell_id {'b' * 16} is the hash of" in lines
    assert any(line.startswith(f"  records/{'c' * 16}.json: field cell_id: Field required") for line in lines)
    assert f"  tuning/{'d' * 16}.json: no sound study of that id" in lines
    assert lines[0].startswith(f"{tmp_path / 'mixed.zip'}: 3 file(s)")  # it is an archive
    assert "check-results" in lines[-1]
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive"])
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(StoreError, match=r"x\.zip cannot be read as an archive"):
        unpack(tmp_path / "x.zip", tmp_path / "home")


def test_a_foreign_or_newer_archive_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(StoreError, match="spikemark did not export it"):
        unpack(tmp_path / "x.zip", tmp_path / "home")
    with pytest.raises(StoreError, match="has format 9,"):
        unpack(forged(tmp_path / "y.zip", {}, format=9), tmp_path / "home")


def test_a_pipe_is_no_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lab.zip")
    with pytest.raises(StoreError, match="is no plain file, so it cannot be an archive"):
        unpack(tmp_path / "lab.zip", tmp_path / "results")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_damage_of_an_archive_is_one_kind_of_error(make: Make, tmp_path: Path, method: int) -> None:
    """Any byte, in the names, the headers or the compressed content: imported whole, or refused."""
    record = make()
    content = json.dumps(record.model_dump()).encode()
    name, path = f"records/{record.cell_id}.json", tmp_path / "x.zip"
    listed = {name: {"sha256": sha256(content), "bytes": len(content)}}
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(MANIFEST, json.dumps({"format": 1, "files": listed}))
        archive.writestr(name, content)
    whole, generator, refused = path.read_bytes(), random.Random(0), list[str]()
    directory = whole.index(b"PK\1\2")
    for at in [*range(100), *range(directory, len(whole)), *generator.sample(range(directory), 100)]:
        changed = bytearray(whole)
        changed[at] ^= 1 << generator.randrange(8)
        path.write_bytes(changed)
        home = tmp_path / f"home{at}"
        try:
            unpack(path, home)
        except StoreError as error:
            refused.append(str(error))
        found = list(home.rglob("*.*"))
        assert [file.read_bytes() for file in found] == [content] * len(found)  # nothing, or the record
    assert len(refused) > 150
    assert max(map(len, refused)) < 1000


def test_names_that_are_no_text_are_refused(lab: tuple[Path, list[Record]], tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ü.json", b"{}")  # marked as UTF-8
    path.write_bytes(path.read_bytes().replace("ü".encode(), b"\xc4A"))
    with pytest.raises(StoreError, match="cannot be read as an archive: 'utf-8' codec can't decode"):
        unpack(path, tmp_path / "home")


def test_long_names_are_quoted_in_part(tmp_path: Path) -> None:
    long = "x" * 60_000
    stranger = forged(tmp_path / "a.zip", {long: b""})
    unlisted = forged(tmp_path / "b.zip", {}, files={long * 9: {}})
    newer = forged(tmp_path / "c.zip", {}, format=long)
    for archive in (stranger, unlisted, newer):
        with pytest.raises(StoreError, match=r"'x{99} \.\.\.") as caught:
            unpack(archive, tmp_path / "home")
        assert len(str(caught.value)) < 1000
