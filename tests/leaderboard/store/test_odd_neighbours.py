"""What lies beside records holds anything at all, and the page and every reader stand."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leaderboard import rank
from leaderboard.page.data import page_data
from leaderboard.page.study_views import history, views
from leaderboard.records.record import Record
from leaderboard.reference.agreement import load_reproductions
from leaderboard.store.diagnoses import load_diagnoses
from leaderboard.store.failures import FailureStore
from leaderboard.store.pictures import load_pictures
from leaderboard.store.studies import load_studies

Make = Callable[..., Record]
TRIAL = {
    "state": "complete", "value": 0.5, "t": 4, "values": {"p": 0.9}, "given": True, "readings": {"4": 0.5},
    "seconds": 0.1, "refused": None, "repeats": None,
}  # fmt: skip
TUNING = {
    "study": "0" * 16, "dataset": "digits", "network": "net", "seed": 0, "objective": "kl", "t": 4,
    "images": 9, "sampler": "gp", "sampler_seed": 0, "trials": 1, "pruned": 0, "seconds": 1.0,
    "image_steps": 4.0, "ann_forwards": 4.0, "value": 0.5, "default": 0.6, "constraint": None,
}  # fmt: skip
STUDY = {
    "schema_version": 1, "matrix": "m", "recipe": "burst", "tuning": TUNING, "maximise": False,
    "best": {"p": 0.9}, "parts": {"scale": {"name": "percentile", "p": 0.9}}, "importance": {"p": 1.0},
    "trials": [TRIAL, TRIAL], "created": "2026-01-01T00:00:00+00:00",
}  # fmt: skip
LAYER = {
    "layer": "relu", "t": 4, "threshold": 1.0, "rate": 0.1, "error": 0.5, "clipping": 0.1,
    "quantisation": 0.1, "input": None, "unevenness": 0.1,
}  # fmt: skip
DIAGNOSIS = {"images": 9, "layers": [LAYER, {**LAYER, "t": 8}], "why_not": ""}
FAILURE = {
    "schema_version": 1, "id": "0" * 16, "kind": "cell", "matrix": "m", "title": "a cell", "error": "E",
    "message": "why", "traceback": None, "mendable": True, "worker": "process 1", "created": "now",
    "versions": {"torch": "2"},
}  # fmt: skip
REPRODUCTION = {
    "cell_id": "0" * 16, "verdict": "not", "why": "it differs", "created": "2026-01-01T00:00:00+00:00",
    "git_commit": None, "device": "cpu",
}  # fmt: skip

NESTED: Any = 0
for _ in range(200):
    NESTED = [NESTED]
ODD = [
    None, True, -1, 0, 2**63, 10**400, -(10**400), 0.5, 1e308, -1e308, float("nan"), float("inf"), "",
    "\ud800", "</script><script>", "\x1b[31m\x9b\u202e", "a" * 100_000, [], {}, NESTED, {"a": NESTED},
    {"\ud800": 1}, {"a": float("nan")}, {"a": 1e308},
]  # fmt: skip


def harmed(content: Any) -> Iterator[Any]:
    """The content with one value, at any depth, that is odd or missing."""
    places: list[tuple[Any, ...]] = [()]
    for place in places:
        inside = at(content, place)
        keys = list(inside) if isinstance(inside, dict) else range(len(inside))
        places += [(*place, key) for key in keys if isinstance(inside[key], dict | list) and inside[key]]
        for key in keys:
            for odd in ODD:
                changed = json.loads(json.dumps(content))
                at(changed, place)[key] = odd
                yield changed
            changed = json.loads(json.dumps(content))
            del at(changed, place)[key]
            yield changed
    yield from ODD


def at(content: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        content = content[key]
    return content


def strictly(text: str) -> Any:
    """As a browser reads it: without NaN and Infinity, and as UTF-8."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    text.encode("utf-8")
    return json.loads(text, parse_constant=refuse)


def file_of(results: Path, folder: str, name: str = "0" * 16) -> Path:
    path = results / folder / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    return path


def test_odd_studies_leave_the_page_sound(tmp_path: Path) -> None:
    path, read = file_of(tmp_path, "tuning"), 0
    for content in harmed(STUDY):
        path.write_text(json.dumps(content))
        for study in load_studies(tmp_path):
            read += 1
            strictly(json.dumps(history(study), ensure_ascii=False))
            (view,) = views([study])
            text = f"{view.title} {view.best} {view.importance} {study.recipe} {study.matrix} {study.parts}"
            text.encode("utf-8")
            assert len(text) < 10_000
    assert read  # odd recipes and parameters are allowed, as far as a page can show them


def test_odd_diagnoses_and_reproductions_leave_the_page_sound(make: Make, tmp_path: Path) -> None:
    record = make()
    boards = rank([record])
    for folder, sound in (
        ("diagnoses", DIAGNOSIS),
        ("reproductions", {**REPRODUCTION, "cell_id": record.cell_id}),
    ):
        path = file_of(tmp_path, folder, record.cell_id)
        for content in harmed(sound):
            path.write_text(json.dumps(content))
            found = load_diagnoses(tmp_path), load_reproductions(tmp_path)
            if not any(found):
                continue
            _, blocks = page_data(boards, diagnoses=found[0], reproductions=found[1])
            for block in blocks:
                assert strictly(gzip.decompress(base64.b64decode(block)).decode("utf-8"))


def test_odd_failures_are_one_short_line(tmp_path: Path) -> None:
    path = file_of(tmp_path, "failures")
    for content in harmed(FAILURE):
        path.write_text(json.dumps(content))
        for failure in FailureStore(tmp_path).load().values():
            assert len(failure.summary) + len(failure.title) < 4000
            assert "\n" not in failure.summary


def test_what_is_sound_is_read(tmp_path: Path, make: Make) -> None:
    """Or the law above would hold for readers that read nothing."""
    for folder, content in (
        ("tuning", STUDY),
        ("diagnoses", DIAGNOSIS),
        ("failures", FAILURE),
        ("reproductions", REPRODUCTION),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{'0' * 16}.json").write_text(json.dumps(content))
    assert load_studies(tmp_path)
    assert load_diagnoses(tmp_path)
    assert FailureStore(tmp_path).load()
    assert load_reproductions(tmp_path)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(2**40)


def loop(path: Path) -> None:
    path.symlink_to(path)


def hidden(path: Path) -> None:
    path.write_text("{}")
    path.chmod(0)


@pytest.mark.parametrize("make_odd", [pipe, endless, Path.mkdir, loop, hidden])
def test_odd_files_are_passed_over_at_once(tmp_path: Path, make_odd: Callable[[Path], None]) -> None:
    for name in (
        "tuning/a.json",
        "pictures/b/a.png",
        *(f"{f}/{'0' * 16}.json" for f in ("diagnoses", "failures", "reproductions")),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        make_odd(path)
    assert load_studies(tmp_path) == []
    assert load_diagnoses(tmp_path) == {}
    assert FailureStore(tmp_path).load() == {}
    assert load_reproductions(tmp_path) == {}
    pictures = load_pictures(tmp_path)
    assert all(each.data is None for found in pictures.values() for each in found)
