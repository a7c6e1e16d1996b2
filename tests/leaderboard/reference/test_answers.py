"""What is kept of long computations on references: right, found where it holds, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from leaderboard.ranking import kept_answers
from leaderboard.ranking.boards import rank
from leaderboard.records.record import Record
from leaderboard.reference import answers
from leaderboard.reference.packing import update
from leaderboard.reference.shipped import (
    ANSWERS,
    HERE,
    SUBMITTED,
    archives,
    contents_of,
    load_shipped,
)
from leaderboard.scores.proportions import encode_outcomes
from leaderboard.store.archive import KINDS
from leaderboard.store.results import ResultStore, parse_record

Make = Callable[..., Record]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_answers, "_known", {})


def test_the_kept_answers_are_those_computed_anew() -> None:
    kept = json.loads((HERE / ANSWERS).read_text(encoding="utf-8"))
    fresh = answers.computed()
    changed = [key for key in kept.keys() | fresh.keys() if kept.get(key) != pytest.approx(fresh.get(key))]
    assert changed == [], "run python -m leaderboard.reference.answers"
    assert len({key for key, answer in kept.items() if isinstance(answer, bool)}) > 20


@pytest.mark.parametrize("archive", [*archives(HERE), *archives(HERE / SUBMITTED)], ids=lambda one: one.name)
def test_every_shipped_record_passes_every_check(archive: Path) -> None:
    for name, content in contents_of(archive):
        match = KINDS["record"].fullmatch(name)
        if match is not None:
            assert isinstance(parse_record(content, match["id"]), Record), name


def pair(make: Make) -> list[Record]:
    return [make({4: 0.9}, label="a"), make({4: 0.5}, label="b")]


def ranks(records: list[Record], origin: str = "reference") -> list[int | None]:
    (board,) = rank(records, dict.fromkeys([record.cell_id for record in records], origin))
    return [row.rank for row in board.rows]


def test_an_answer_is_found_again_for_the_same_rows_alone(make: Make) -> None:
    records = pair(make)
    with kept_answers.asked() as found:
        assert ranks(records) == [1, 2]
    assert [answer for answer in found.values() if isinstance(answer, bool)] == [True]
    kept_answers.remember(dict.fromkeys(found, False))  # so that it shows who asks
    assert ranks(pair(make)) == [1, 1]
    assert ranks(records, "own") == [1, 2]  # rows of one's own are computed
    first = records[0]
    point, outcomes = first.curve[-1], first.outcomes
    assert outcomes is not None
    fewer = encode_outcomes([index < 895 for index in range(1000)])
    for change in (
        {"curve": [*first.curve[:-1], point.model_copy(update={"t_total": 5})]},
        {"curve": [*first.curve[:-1], point.model_copy(update={"energy_pj": {"operations": 1.0}})]},
        {"ann": first.ann.model_copy(update={"energy_pj": {"operations": 1.0}})},
        {"outcomes": outcomes.model_copy(update={"at": {4: fewer}})},
    ):
        assert ranks([first.model_copy(update=change), records[1]]) == [1, 2]


def test_an_interval_is_kept_with_its_bounds(make: Make) -> None:
    records = pair(make)
    origins = dict.fromkeys([record.cell_id for record in records], "reference")
    with kept_answers.asked() as found:
        (board,) = rank(records, origins)
        computed = [row.interval for row in board.rows]
    kept_answers.remember(json.loads(json.dumps(found)))
    (board,) = rank(records, origins)
    assert [row.interval for row in board.rows] == computed
    assert None not in computed


def test_an_update_renews_the_answers(make: Make, tmp_path: Path) -> None:
    for record in pair(make):
        ResultStore(tmp_path / "results").write(record)
    update([tmp_path / "results"], {}, lambda commit: True, tmp_path / "ref")
    kept = json.loads((tmp_path / "ref" / ANSWERS).read_text(encoding="utf-8"))
    assert len(kept) == 3  # two intervals, and one pair of rows
    load_shipped(tmp_path / "ref")
    assert kept_answers._known == kept
