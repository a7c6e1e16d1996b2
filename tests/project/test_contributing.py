"""What CONTRIBUTING.md names is there, so that its table cannot fall behind the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", PAGE)))
KINDS = ["neuron", "threshold rule", "correction", "method", "network", "data set", "task", "energy model"]
KINDS += ["backend", "column of the page"]


def rows() -> dict[str, str]:
    """Kind of addition -> its line of the table."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    return {line.split("|")[1].strip(): line for line in lines}


@pytest.mark.parametrize("path", [path for path in PATHS if "NAME" not in path])
def test_every_path_is_there(path: str) -> None:
    places = [ROOT, ROOT / "datamodules"]  # "detection/ there"
    assert any((place / path).exists() for place in places)


@pytest.mark.parametrize("path", [path for path in PATHS if "NAME" in path])
def test_every_new_file_has_a_folder(path: str) -> None:
    folder = (ROOT / path.partition("NAME")[0]).resolve()
    assert folder.is_dir()
    assert any(folder.glob("*.py")) or any(folder.glob("*/backend.py"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_line(kind: str) -> None:
    assert kind in rows()


def test_every_name_is_where_it_is_looked_for() -> None:
    """`WORD` in `file`: the file has it."""
    pairs = re.findall(r"`(\w+)`(?: or `(\w+)`)? (?:in|of) `([\w./]+\.\w+)`", PAGE)
    assert len(pairs) >= 6
    for first, second, path in pairs:
        text = (ROOT / path).read_text(encoding="utf-8")
        for word in filter(None, (first, second)):
            assert re.search(rf"\b{word}\b", text), f"{path} has no {word}"
