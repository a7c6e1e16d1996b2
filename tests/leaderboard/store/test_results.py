import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leaderboard.files.atomic import StoreError
from leaderboard.ranking.boards import rank
from leaderboard.records.record import SCHEMA_VERSION, Point, Record
from leaderboard.statistics.energies import completed
from leaderboard.store.results import Loaded, ResultStore

Make = Callable[..., Record]


@pytest.fixture
def make(make: Make) -> Make:
    """Records as they are read: with every energy model that their counts allow."""
    return lambda *args, **changes: completed(make(*args, **changes))


def damage(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_what_is_written_is_read_back(make: Make, tmp_path: Path) -> None:
    store, record = ResultStore(tmp_path), make(label="<script>alert(1)</script> ≤ 5")
    assert not store.has(record.cell_id)
    path = store.write(record)
    assert path == tmp_path / "records" / f"{record.cell_id}.json" == store.path_of(record.cell_id)
    assert store.has(record.cell_id)
    assert store.read(record.cell_id) == record
    assert store.load().records == [record]
    assert store.load().invalid == []


def test_without_layers_records_rank_alike_and_invalid_ones_are_still_found(
    make: Make, tmp_path: Path
) -> None:
    store = ResultStore(tmp_path)
    for seed in (0, 1):
        store.write(make(seed=seed))
    whole = store.load()
    path = store.path_of(whole.records[0].cell_id)
    thin = store.load(layers=False)
    assert [row.metric for board in rank(thin.records) for row in board.rows] == [
        row.metric for board in rank(whole.records) for row in board.rows
    ]
    assert all(point.spikes and not other.spikes for point, other in zip(*_curves(whole, thin), strict=True))
    payload = json.loads(path.read_text())
    payload["curve"][0]["spikes"] = {"small": "many"}
    path.write_text(json.dumps(payload))
    (invalid,) = store.load(layers=False).invalid
    assert (invalid.path, "curve.0.spikes.small" in invalid.reason) == (path, True)


def _curves(*loaded: Loaded) -> list[list[Point]]:
    return [[point for record in each.records for point in record.curve] for each in loaded]


def test_a_new_store_is_empty(tmp_path: Path) -> None:
    loaded = ResultStore(tmp_path / "nothing here").load()
    assert (loaded.records, loaded.invalid) == ([], [])


@pytest.mark.parametrize(
    "name",
    ["../x", "..", "", "a" * 15, "a" * 17, "A" * 16, "/etc/passwd", "0123456789abcde\n", "a" * 16 + "\n"],
)
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    store = ResultStore(tmp_path)
    for use in (store.path_of, store.has, store.read):
        with pytest.raises(ValueError, match="a cell id is 16 characters"):
            use(name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"schema_version": 1, "cell_id": "0123', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "holds a JSON list, not a record"),
        (b"{}", "schema_version must be a whole number, got None"),
        (b'{"schema_version": true}', "schema_version must be a whole number, got True"),
        (b'{"schema_version": 0}', "is no record of schema 0"),
        (b'{"schema_version": 1}', "is no record of schema 1: KeyError('provenance')"),
        (b'{"schema_version": 2}', "field cell_id: Field required (and "),
    ],
)
def test_a_file_that_is_no_record_is_set_aside(
    make: Make, tmp_path: Path, content: bytes, reason: str
) -> None:
    store, good = ResultStore(tmp_path), make()
    store.write(good)
    bad = store.path_of("f" * 16)
    bad.write_bytes(content)
    loaded = store.load()
    assert loaded.records == [good]
    assert [entry.path for entry in loaded.invalid] == [bad]
    assert loaded.invalid[0].reason.startswith(reason)
    assert "\n" not in loaded.invalid[0].reason
    assert not store.has("f" * 16)
    with pytest.raises(StoreError, match=r"f{16}\.json: .*Run the cell again"):
        store.read("f" * 16)


def test_a_truncated_record_is_set_aside(make: Make, tmp_path: Path) -> None:
    store, record = ResultStore(tmp_path), make()
    path = store.write(record)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert not store.has(record.cell_id)
    assert [entry.reason.split(":")[0] for entry in store.load().invalid] == ["is not JSON"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"accuracy": 0.9}, "field accuracy: Extra inputs are not permitted"),
        ({"seed": "first"}, "field seed: Input should be a valid integer"),
        ({"curve": []}, "field curve: List should have at least 1 item"),
        ({"schema_version": SCHEMA_VERSION + 1}, "written by a newer SpikeMark (schema 5, this one reads 4)"),
        ({"schema_version": 9, "unheard_of": 1}, "written by a newer SpikeMark"),
        ({"cell_id": "e" * 16}, "is named after another cell than it holds (eeeeeeeeeeeeeeee)"),
        ({"metric": "miou"}, "ann.metrics lacks the ranking metric 'miou'"),
    ],
)
def test_a_wrong_field_is_named(make: Make, tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    store, record = ResultStore(tmp_path), make()
    damage(store.write(record), **fields)
    loaded = store.load()
    assert loaded.records == []
    assert loaded.invalid[0].reason.startswith(reason)
    assert not store.has(record.cell_id)


def test_stray_names_are_set_aside_and_temporary_files_passed_over(make: Make, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    path = store.write(make())
    path.with_name("notes.json").write_text("{}")
    path.with_name(f".{path.name}.0123.tmp").write_text("half a rec")
    loaded = store.load()
    assert len(loaded.records) == 1
    assert [(entry.path.name, entry.reason) for entry in loaded.invalid] == [
        ("notes.json", "the file name is not a cell id (16 characters of 0-9 and a-f)")
    ]


def test_a_crash_while_writing_leaves_the_old_record(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, old = ResultStore(tmp_path), make()
    store.write(old)
    new = old.model_copy(update={"matrix": "other"})

    def crash(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            store.write(new)
    assert store.read(old.cell_id) == old
    store.write(new)
    assert store.read(old.cell_id) == new


def test_a_folder_that_cannot_be_written_is_one_clear_error(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(
        StoreError, match=r"cannot write .*file/results/records/.*choose another output folder"
    ):
        ResultStore(tmp_path / "file" / "results").write(make())


def test_what_could_not_be_read_back_is_not_written(make: Make, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    for record, reason in [
        (make(metric="miou"), "lacks the ranking metric"),
        (make(config={"gamma": float("nan")}, cell_id="0" * 16), "not JSON compliant"),
        (make(config={"folder": tmp_path}, cell_id="0" * 16), "PosixPath is not JSON serializable"),
        (make(config={"name": "\ud800"}), "surrogates not allowed"),
    ]:
        with pytest.raises(StoreError, match=reason):
            store.write(record)
    assert not (tmp_path / "records").exists()


def test_what_is_no_plain_file_is_set_aside_and_never_waited_for(make: Make, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    record = make()
    store.write(record)
    os.mkfifo(tmp_path / "records" / f"{'a' * 16}.json")
    (tmp_path / "records" / f"{'b' * 16}.json").mkdir()
    loaded = store.load()
    assert loaded.records == [record]
    assert [invalid.reason for invalid in loaded.invalid] == ["is no plain file"] * 2
