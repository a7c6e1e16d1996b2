"""The table of ratios in a page: what was saved, and nothing else."""

import json
import sys

import pytest

from benchmarks.speed import page
from benchmarks.speed.ratios import ANN, LOOP, Row


def saved(tmp_path, name, *rows):
    run = {"device": "a processor", "commit": "0123456789", "versions": {"torch": "2.0"}}
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps({**run, "rows": [row.as_json() for row in rows]}))
    return path


def row(network, recipe, images, **took):
    return Row(network, recipe, images, 10, {LOOP: 2.0, ANN: 0.1, **took}, {})


def cells(text, beginning):
    (line,) = [line for line in text.splitlines() if line.startswith(beginning)]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_batches_stand_side_by_side_and_the_last_run_counts(tmp_path, monkeypatch):
    target = tmp_path / "page.md"
    target.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    first = saved(
        tmp_path,
        "first",
        row("net", "opi", 1, float32=1.0, int16=0.5),
        row("net", "opi", 4, float32=8.0),
        Row("odd", "opi", 1, 10, {}, {}, "it does not convert"),
    )
    second = saved(tmp_path, "second", row("net", "opi", 4, float32=0.5))
    monkeypatch.setattr(sys, "argv", ["page", str(target), str(first), str(second)])
    page.main()
    text = target.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "Commit `0123456`, torch 2.0, a processor." in text
    nothing = [""]
    assert cells(text, "| net |") == [
        "net",
        "`opi`",
        "2.00",
        "4.00",
        *nothing * 2,
        "2.00",
        "4.00",
        *nothing * 3,
        "2.00",
    ]
    assert cells(text, "| **geo")[2:4] == ["**2.00**", "**4.00**"]
    assert "odd" not in text


def test_runs_of_two_machines_do_not_share_a_table(tmp_path, monkeypatch):
    one, two = saved(tmp_path, "one"), saved(tmp_path, "two")
    two.write_text(two.read_text().replace("a processor", "another"))
    monkeypatch.setattr(sys, "argv", ["page", str(tmp_path / "page.md"), str(one), str(two)])
    with pytest.raises(ValueError, match="one machine"):
        page.main()
