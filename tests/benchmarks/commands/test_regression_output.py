"""What the gate prints of cells that have moved: in 80 columns, the score first, then where to look."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from benchmarks.commands import regression
from leaderboard.regression.changes import Move

MOVE = Move(
    "digits / small_cnn / my-method / seed 0",
    "spikes of features.0.relu at t = 4",
    "1234.567",
    "1234.568",
    "conversion/scales, neurons, initial, corrections, simulation (threshold, reset, membrane)",
    33,
    "top1 at t = 16 from 0.912 to 0.850",
)


def printed(monkeypatch: pytest.MonkeyPatch, entries: list[Any]) -> list[str]:
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: entries if "recipes" in group else []
    )
    console = Console(file=io.StringIO(), width=80, no_color=True)
    baseline: Any = SimpleNamespace(
        arithmetic={}, only_same={}, comparable=lambda cells, arithmetic: {"a": 1}
    )
    now: Any = SimpleNamespace(arithmetic={}, cells={"a": 1})
    regression._say(baseline, now, [MOVE], console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_it_fits_and_says_the_score_first(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, [])
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert text.index("score top1 at t = 16 from 0.912 to 0.850") < text.index("first spikes of")
    assert "from 1234.567 to 1234.568, and 33 numbers after it" in text
    assert "look conversion/scales" in text


def test_it_points_into_the_users_own_package(monkeypatch: pytest.MonkeyPatch) -> None:
    dist = SimpleNamespace(name="my-package")
    entries = [
        SimpleNamespace(name="my-method", value="my_package.my_method", dist=dist),
        SimpleNamespace(name="another", value="elsewhere", dist=dist),
    ]
    text = " ".join(" ".join(printed(monkeypatch, entries)).split())
    assert "look my_package.my_method, of your package my-package; conversion/scales" in text
    assert "elsewhere" not in text
