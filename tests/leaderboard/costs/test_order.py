"""Order of models, verdicts under all models, break-even of rows: against small boards by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import energy
from leaderboard.costs.break_even import break_even_tables, standing
from leaderboard.costs.order import models_of, ordered, side_by_side
from leaderboard.costs.verdicts import at_parity, quantised_ann, verdict
from leaderboard.page.data import page_data
from leaderboard.page.html import page_html
from leaderboard.ranking.boards import Board, rank
from leaderboard.records.record import LayerCounts, Record
from leaderboard.reports.energy_plot import draw_models
from leaderboard.reports.latex import to_latex
from leaderboard.reports.markdown import markdown_report
from leaderboard.statistics.energies import completed

Make = Callable[..., Record]

SIZES = {"weights": 1000, "biases": 10, "inputs": 100, "outputs": 10, "taps": 0, "sources": ["small"]}


@pytest.fixture
def boards(make: Make) -> list[Board]:
    layers = [
        LayerCounts(name="fc", macs=1000.0, drive="spikes", **SIZES, active_macs=400.0, active_inputs=40.0)
    ]
    records = [
        make({1: 0.5, 8: 0.9}, label="best", layers=layers, pj_per_step=200.0),  # 1600 of 4600
        make({1: 0.895}, label="soon", layers=layers, pj_per_step=50.0),
        make({4: 0.5}, label="never", layers=layers),
        make({2: 0.5, 4: 0.9}, label="ptq", group="baseline", layers=layers, pj_per_step=230.0 / 4),
    ]
    return rank([completed(record) for record in records])


def test_models_stand_in_the_order_of_the_registry(boards: list[Board]) -> None:
    assert models_of(boards) == list(energy.models())
    assert ordered({"memory", "zzz", "operations-int8", "operations"}) == [
        *("operations", "operations-int8", "memory", "zzz")
    ]
    assert side_by_side(None) == side_by_side("operations") == ("operations", "operations-int8")
    assert side_by_side("memory") == ("operations", "memory")


def test_a_verdict_counts_models(boards: list[Board]) -> None:
    (board,) = boards
    ptq = quantised_ann(board)
    assert ptq is not None
    assert ptq.label == "ptq"
    assert [row.label for row in at_parity(board)] == ["soon", "best"]
    soon, best = at_parity(board)
    # soon: 50 of 4600, 50 SynOps; the quantised ANN: 230 stated, 1000 x (0.2 x 3 / 8 + 0.1) in int8.
    models = ["operations", "operations-int8"]
    assert str(verdict(soon, models)) == "all 2"
    assert str(verdict(soon, models, ptq)) == "all 2"
    assert str(verdict(best, models, ptq)) == "1 of 2: operations-int8‡"
    assert str(verdict(best, ["operations"], ptq)) == "none of 1"
    assert str(verdict(best, ["unheard of"], ptq)) == "not measured"


def test_break_even_of_a_row_is_taken_at_parity(boards: list[Board]) -> None:
    _, best, never, ptq = boards[0].rows
    found = standing(best, "operations-int8")
    assert found is not None
    assert (found.t, found.at_parity, found.bits) == (8, True, 4)
    assert found.spikes == pytest.approx(400 / 1000)
    assert found.against["ann"].allowed == pytest.approx(46)
    assert found.against["quantised"].allowed == pytest.approx(2.0)  # (0.2 x 4 / 8 + 0.1) / 0.1
    assert found.against["quantised-sparse"].allowed == pytest.approx(0.8)
    assert found.against["quantised-sparse"].ratio == pytest.approx(0.5)
    missed = standing(never, "operations-int8")
    assert missed is not None
    assert not missed.at_parity
    assert standing(ptq, "operations") is None
    tables = {model: lines for model, _, lines in break_even_tables(boards[0])}
    assert list(tables) == list(energy.models())
    assert tables["operations-int8"][1] == [
        *("best‡", "binary", "8", "4", "0.400"),  # float32 weights
        *("46.0 (0.00870×)", "2.00 (0.200×)", "18.4 (0.0217×)", "0.800 (0.500×)"),
    ]
    assert tables["operations-int8"][2][2] == "(4)"


def test_what_nobody_measured_is_said(make: Make) -> None:
    (board,) = rank([completed(make({4: 0.9}))])
    assert models_of([board]) == ["operations", "operations-int8"]
    assert standing(board.rows[0], "memory") is None
    ((_, header, _), _) = break_even_tables(board)
    assert "ANN without zeros" not in header


def test_spikes_that_were_not_loaded_are_not_zero(make: Make) -> None:
    layers = [LayerCounts(name="fc", macs=1000.0, drive="spikes", **SIZES)]
    record = completed(make({4: 0.9}, layers=layers))
    for point in record.curve:
        vars(point)["spikes"] = {}
    (board,) = rank([record])
    assert standing(board.rows[0], "memory") is None


def test_every_output_has_the_model_beside_operations(boards: list[Board]) -> None:
    text = markdown_report(boards, command="x", model="memory-int8")
    assert "| energy, operations | energy, memory-int8 |" in text
    for heading in ("Verdicts under every energy model", "Break-even", "Model `memory-int8`"):
        assert heading in text
    assert "energy, operations-int8" in markdown_report(boards, command="x")
    assert r"($\times$ ANN), memory-int8" in to_latex(boards, "memory-int8")
    html = page_html(boards, model="memory-int8")
    assert '"chosen":"memory-int8"' in html
    for part in ('id="verdicts"', 'id="break-even"', "arXiv 2210.13107"):
        assert part in html
    assert page_data(boards)[0]["models"] == list(energy.models())


def test_the_picture_has_a_line_a_recipe_at_parity(boards: list[Board], make: Make) -> None:
    figure = draw_models(boards[0])
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == [
        *("soon (binary)", "best (binary)", "ptq (no spikes)")
    ]
    assert [label.get_text() for label in right.get_xticklabels()] == list(energy.models())
    texts = {text.get_position(): text for text in left.texts}
    assert texts[(0, 1)].get_text() == "0.348"  # best, operations: 1600 of 4600
    assert texts[(0, 1)].get_fontweight() == "bold"
    assert draw_models(rank([make({4: 0.5})])[0]) is None
