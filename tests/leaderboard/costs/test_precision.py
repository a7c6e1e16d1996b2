"""Figures of unlike precision are marked everywhere, and recipes measured in both stand side by side."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

import energy
from leaderboard.costs import precision
from leaderboard.costs.precision import LEGEND, MARK, measured_bits, pair_table, unlike
from leaderboard.page import html
from leaderboard.page.data import page_data
from leaderboard.ranking.boards import Board, rank
from leaderboard.ranking.rows import Row
from leaderboard.records.record import Record
from leaderboard.reports.energy_plot import draw_models
from leaderboard.reports.latex import to_latex
from leaderboard.reports.markdown import markdown_report
from leaderboard.reports.tables import render
from leaderboard.statistics.energies import completed

Make = Callable[..., Record]
RUN = {2: 0.5, 4: 0.895}


@pytest.fixture
def board(make: Make) -> Board:
    """`both` in two precisions, `one` in float32 alone, and the quantised ANN."""
    both = {"label": "both", "pj_per_step": 230.0}
    records = [
        make(RUN, **both, config={"precision": "float32"}),
        make({2: 0.894, 4: 0.896}, **both, config={"precision": "int8"}, provenance_precision="int8"),
        make(RUN, label="one", pj_per_step=460.0),
        make({4: 0.9}, label="ptq", group="baseline", pj_per_step=57.5),
    ]
    (found,) = rank([completed(record) for record in records])
    return found


def row_of(board: Board, label: str) -> Row:
    return next(row for row in board.rows if row.label == label)


def test_a_figure_is_unlike_where_the_model_charges_another_width(board: Board) -> None:
    float32, int8, ptq = (row_of(board, name) for name in ("both (float32)", "both (int8)", "ptq"))
    assert [measured_bits(row) for row in (float32, int8, ptq)] == [32, 8, None]
    for model in energy.models():
        narrow = model.endswith("-int8")
        assert unlike(float32, model) is narrow
        assert unlike(int8, model) is not narrow
        assert unlike(ptq, model) is False  # its weights have 8 bits in every model
    assert unlike(float32, "memory:weight_bits=8")
    assert not unlike(float32, "a model of another SpikeMark")


@pytest.mark.parametrize(("name", "bits"), [("int16", 16), ("float64", 64), ("bfloat16", None), ("", None)])
def test_other_precisions(make: Make, name: str, bits: int | None) -> None:
    (board,) = rank([completed(make(RUN, provenance_precision=name))])
    assert measured_bits(board.rows[0]) == bits
    assert (
        unlike(board.rows[0], "operations") is unlike(board.rows[0], "operations-int8") is (bits is not None)
    )


def test_pairs_stand_side_by_side_each_under_its_own_model(board: Board) -> None:
    header, lines = pair_table(board) or ([], [])
    assert header == [
        *("recipe", "group", "top1, float32", "T to 1.0, float32", "operations, float32"),
        *("top1, int8", "T to 1.0, int8", "operations-int8, int8"),
    ]
    # 4 x 230 of 4600 pJ; 50 SynOps a step at 0.1 pJ.
    assert lines == [["both", "binary", "89.50", "4", "0.200×", "89.60", "2", "0.00217×"]]


def test_there_are_no_pairs_of_one_precision(make: Make) -> None:
    (board,) = rank([completed(make(RUN)), completed(make({4: 0.9}, label="ptq", group="baseline"))])
    assert pair_table(board) is None
    assert precision.PAIRS_HEADING not in markdown_report([board], command="x")


def test_every_output_marks_and_says_why(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    render([board], console)
    text = console.export_text()
    assert "0.400 / 0.00435‡" in text  # one: 4 x 460, 4 x 50 x 0.1 of 4600
    assert "0.100‡ / 0.00217" in text  # both, in int8
    assert "0.0500 / " in text
    assert LEGEND in " ".join(text.split())
    text = markdown_report([board], command="x")
    assert "| 0.400× | 0.00435×‡ |" in text
    assert "| 0.100×‡ | 0.00217× |" in text
    assert "all 2: " not in text
    assert precision.PAIRS_HEADING in text
    text = to_latex([board])
    assert r"0.00435$^\ddagger$" in text
    assert r"$^\ddagger$ accuracy and energy of unlike precision" in text
    monkeypatch.setattr(html, "plotly_javascript", lambda: "")
    page = html.page_html([board])
    assert LEGEND in page
    assert "0.00435×‡ " in page.replace("<", " ").replace("\n", " ")
    assert precision.PAIRS_HEADING in page
    data, _ = page_data([board])
    assert data["chargedBits"]["operations-int8"] == 8
    assert [row["weightBits"] for row in data["boards"][0]["rows"]].count(8) == 1


def test_nothing_is_marked_or_said_where_nothing_is_unlike(make: Make) -> None:
    record = make(RUN, provenance_precision="bfloat16")
    boards = rank([completed(record)])
    console = Console(width=200, record=True, file=io.StringIO())
    render(boards, console)
    assert MARK not in console.export_text()
    assert "ddagger" not in to_latex(boards)
    figure = draw_models(boards[0])
    assert not any(MARK in text.get_text() for text in figure.axes[0].texts)
    assert figure.get_supxlabel() == ""


def test_the_picture_marks_cells_and_says_why(board: Board) -> None:
    figure = draw_models(board)
    assert figure.get_supxlabel() == LEGEND
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    texts = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    place = rows.index("one (binary)")
    assert (texts[(0, place)], texts[(1, place)]) == ("0.400", "0.00435‡")
