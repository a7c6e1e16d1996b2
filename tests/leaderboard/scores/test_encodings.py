"""An encoding that is known to its registration alone goes from the file of a record to table and page."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from rich.console import Console

from leaderboard.files.atomic import StoreError
from leaderboard.page import html
from leaderboard.ranking.boards import rank
from leaderboard.records.record import Outcomes, Record
from leaderboard.reports.markdown import markdown_report
from leaderboard.reports.tables import render
from leaderboard.scores import encodings
from leaderboard.scores.base import Encoding, FloatArray, IntArray
from leaderboard.scores.proportions import Proportion
from leaderboard.store.results import ResultStore

Make = Callable[..., Record]
MARKS = [0.5, 1.0, 0.0, 0.75, 0.75, 0.5, 1.0, 1.0]  # of eight images; their mean is 0.6875


@dataclass(frozen=True)
class MeanMark:
    """The mean of marks between 0 and 1, which is no share of images."""

    marks: FloatArray
    right: ClassVar[None] = None

    @property
    def count(self) -> int:
        return len(self.marks)

    @property
    def work(self) -> int:
        return len(self.marks)

    def score(self, weights: IntArray) -> FloatArray:
        mean: FloatArray = weights @ self.marks / weights.sum(1)
        return mean


def marks_of(common: str | None, text: str, count: int) -> MeanMark:
    marks = np.array(json.loads(text))
    if len(marks) != count:
        raise ValueError(f"marks of {count} images asked for, found {len(marks)}")
    return MeanMark(marks)


def letters(common: str | None, text: str, count: int) -> Proportion:
    return Proportion(np.array([letter == "y" for letter in text]))


def outcomes(encoding: str, text: str) -> Outcomes:
    return Outcomes(measure="top1", encoding=encoding, count=8, ann=text, at={1: text})


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (Encoding("marks", decode=marks_of), Encoding("letters", decode=letters, is_share=True)):
        monkeypatch.setitem(encodings._ENCODINGS, each.name, each)


def test_a_registered_encoding_goes_through_to_the_table_and_the_page(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(MARKS)
    record = make({1: 0.6875}, ann=0.6875, outcomes=outcomes("marks", text))
    store = ResultStore(tmp_path)
    store.write(record)
    loaded = store.load()
    assert loaded.invalid == []
    boards = rank(loaded.records)
    (row,) = boards[0].rows
    # The bootstrap of a mean has about the normal interval: 1.96 standard errors of these marks.
    half = 1.96 * np.std(MARKS) / np.sqrt(8)
    assert row.interval is not None
    assert row.interval.high - row.interval.low == pytest.approx(2 * half, rel=0.15)
    bounds = f"{100 * row.interval.low:.1f}–{100 * row.interval.high:.1f}"
    console = Console(width=200, record=True, file=io.StringIO())
    render(boards, console)
    assert bounds in console.export_text()
    monkeypatch.setattr(html, "plotly_javascript", lambda: "")
    page = html.page_html(boards)
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    shown = json.dumps(data["boards"][0]["rows"][0]["curve"])
    assert f"{float(f'{100 * row.interval.low:.6g}'):.6g}" in shown
    assert "one test image is worth" not in markdown_report(
        boards, command="x"
    )  # which is true of shares alone


def test_a_registered_share_of_images_gets_the_sharper_intervals(make: Make) -> None:
    text = "yyyynnnn"
    theirs = make({1: 0.5}, ann=0.5, outcomes=outcomes("letters", text))
    ours = make({1: 0.5}, ann=0.5, count=8)
    (other,), (known,) = rank([theirs])[0].rows, rank([ours])[0].rows
    assert other.interval == known.interval
    assert "one test image is worth" in markdown_report(rank([theirs]), command="x")


def test_what_a_registered_encoding_refuses_is_no_sound_record(make: Make, tmp_path: Path) -> None:
    short = make({1: 0.5}, ann=0.5, outcomes=outcomes("marks", "[0.5]"))
    with pytest.raises(StoreError, match="marks of 8 images asked for, found 1"):
        ResultStore(tmp_path).write(short)
    false = make({1: 0.9}, ann=0.6875, outcomes=outcomes("marks", json.dumps(MARKS)))
    with pytest.raises(StoreError, match=r"average to 0\.687500, but top1 is stated as 0\.9"):
        ResultStore(tmp_path).write(false)


def test_an_unknown_encoding_is_named_with_those_that_there_are(make: Make, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    path = store.write(make())
    path.write_text(path.read_text().replace("packbits-base64", "smoke {signals}"))
    ((_, reason),) = [(each.path, each.reason) for each in store.load().invalid]
    assert "field outcomes.encoding: no encoding 'smoke {signals}' of outcomes; there are" in reason
    assert reason.endswith("packbits-base64, detections-npz-base64, pixels-npz-base64, marks, letters")
