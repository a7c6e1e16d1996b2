"""What README and docs say of the reference records is what the records say."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from leaderboard.ranking.boards import rank
from leaderboard.reference.shipped import load_shipped

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def texts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_texts", ROOT / "docs" / "make_texts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shipped() -> list[Any]:
    records = load_shipped().records
    if not records:
        pytest.skip("no reference records are packed yet")
    return records


def test_blocks_are_there_and_every_one_is_known(texts: ModuleType) -> None:
    found = [
        name for path in texts.pages() for _, name, _, _ in texts._BLOCK.findall(path.read_text("utf-8"))
    ]
    assert sorted(found) == [
        *("bccd", "board", "camvid", "digit_scenes", "digits", "findings", "imagenet", "others", "others")
    ]
    assert set(found) == set(texts.TEXTS)


def test_texts_are_those_of_the_records(texts: ModuleType, shipped: list[Any]) -> None:
    boards = rank(shipped)
    for path in texts.pages():
        text = path.read_text(encoding="utf-8")
        assert texts.renewed(text, boards) == text, f"{path}: run python docs/make_texts.py"


@pytest.mark.parametrize("name", ["energy-models.png", "leaderboard.png"])
def test_pictures_are_drawn_from_the_records(texts: ModuleType, shipped: list[Any], name: str) -> None:
    note = Image.open(ROOT / "docs" / "images" / name).info.get("records")
    assert note == texts.digest(shipped), f"{name}: run python docs/make_texts.py --page"


def test_only_blocks_change(texts: ModuleType) -> None:
    page = "before\n<!-- references: findings -->\nold 12 %\n<!-- end of references -->\nafter\n"
    assert texts.renewed(page, []) == (
        "before\n<!-- references: findings -->\n\n<!-- end of references -->\nafter\n"
    )
    with pytest.raises(KeyError):
        texts.renewed(page.replace("findings", "nothing"), [])


def test_other_boards_stand_in_one_line_each(texts: ModuleType, shipped: list[Any]) -> None:
    first = max(rank(shipped), key=lambda board: len(board.rows))
    assert texts.other_boards([]) == texts.other_boards([first]) == ""
    few = replace(first, dataset="few|images", network="twin", rows=first.rows[:1])
    *_, rule, line = texts.other_boards([few, first]).splitlines()
    assert line.startswith("| few\\|images · twin (classification) | ")
    assert f"| {texts.in_markdown(first.rows[0].label)} " in line
    assert rule.count("|") == line.replace("\\|", "").count("|")
