"""Recipes under matched precision, and the pages that are filled from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from leaderboard.costs.matched import at_most, by_cost, matched, opponent_of, verdict
from leaderboard.ranking.boards import Board, rank
from leaderboard.records.record import LayerCounts, Record
from leaderboard.reports.energy_plot import draw_models
from leaderboard.reports.page_parts import PARTS, PartError, fill
from leaderboard.statistics.energies import completed

Make = Callable[..., Record]
LAYERS = [
    LayerCounts(
        name="fc", macs=1000.0, drive="spikes", weights=1000, biases=10, inputs=100, outputs=10, taps=0,
        sources=["small"], active_macs=400.0, active_inputs=40.0,
    )
]  # fmt: skip


@pytest.fixture
def boards(make: Make) -> list[Board]:
    """`both` is at parity at 4 in float32, at 2 in int8; `wide` was run in float32 alone; `late` never is."""
    both = {"label": "both", "pj_per_step": 230.0, "layers": LAYERS, "group": "multi-level"}
    records = [
        make({2: 0.5, 4: 0.895}, **both, config={"precision": "float32"}),
        make({2: 0.894, 4: 0.896}, **both, config={"precision": "int8"}, provenance_precision="int8"),
        make({1: 0.895}, label="wide", pj_per_step=460.0, layers=LAYERS),
        make({4: 0.5}, label="late", layers=LAYERS),
        make({2: 0.5, 4: 0.9}, label="ptq", group="baseline", pj_per_step=57.5, layers=LAYERS, sources=[]),
    ]
    for point in records[-1].curve:
        vars(point).update(spikes={}, rates={})
    return rank([completed(record) for record in records])


def test_each_model_charges_the_run_of_its_own_width(boards: list[Board]) -> None:
    recipes = {each.label: each for each in matched(boards[0])}
    assert set(recipes) == {"both", "wide", "late", "ptq"}
    both, wide, ptq = (recipes[name] for name in ("both", "wide", "ptq"))
    assert both.energy("operations") == pytest.approx(4 * 230 / 4600)
    assert both.energy("operations-int8") == pytest.approx(2 * 50 * 0.1 / 4600)  # two steps of 50 SynOps
    assert (both.said("operations"), both.said("operations-int8")) == ("0.200", "0.00217")
    assert (wide.said("operations"), wide.said("operations-int8")) == ("0.100", "0.00109‡")
    assert (both.steps, wide.steps, ptq.steps) == ("4 / 2", "1", "n/a")
    assert recipes["late"].said("operations") == "—"
    assert opponent_of(list(recipes.values())) == ptq
    assert [each.label for each in by_cost(recipes.values(), "operations")] == ["wide", "both", "late", "ptq"]


def test_verdicts_compare_what_was_measured_at_the_width(boards: list[Board]) -> None:
    recipes = {each.label: each for each in matched(boards[0])}
    both, wide, ptq = (recipes[name] for name in ("both", "wide", "ptq"))
    models = ["operations", "operations-int8"]
    # ptq: 230 of 4600; in 8 bits 1000 x (0.2 x 3 / 8 + 0.1) of 4600.
    assert str(verdict(both, models, ptq)) == "1 of 2: operations-int8"
    assert str(verdict(wide, models, ptq)) == "1 of 2: operations-int8‡"
    assert str(verdict(both, models)) == "all 2"
    assert str(at_most(both, models, 0.2)) == "all 2"
    assert str(at_most(both, models, 0.1)) == "1 of 2: operations-int8"


def test_every_part_of_a_page_is_made_from_the_records(boards: list[Board]) -> None:
    page = "Before.\n" + "".join(
        f"\n<!-- energy: {name} dataset=digits -->\nOLD TEXT\n<!-- end -->\n" for name in PARTS
    )
    text = fill(page, boards)
    assert "OLD TEXT" not in text
    assert text.startswith("Before.\n")
    assert fill(text, boards) == text
    assert "| `both` | 4 / 2 | 0.200 | 0.00217 |" in text
    assert "Not at parity by their last T: `late`." in text
    assert "weights in float32, int8" in text
    assert "Less than `ptq` under every model: none." in text
    assert "| `both` | 89.50 | 4 | 89.60 | 2 | 0.200 | 0.00217 |" in text
    assert "(`operations`) `ptq` 0.0500, `wide` 0.100, `both` 0.200" in text
    assert "(`operations-int8`) `wide` 0.00109‡, `both` 0.00217, `ptq` 0.0380" in text
    assert "costs less than all 2 recipes at parity" in text
    assert "The order turns: with equal widths `wide`, `both` cost less than `ptq`, in 32 bits more." in text
    assert "(float32 / int8): `wide` 1, `both` 4 / 2, `late` —." in text


def test_sentences_name_what_holds_and_what_turns(boards: list[Board]) -> None:
    text = fill("<!-- energy: memory -->\n<!-- end -->", boards)
    models = ["memory", "memory-clocked", "memory-reuse", "memory-int8", "memory-clocked-int8"]
    recipes = {each.label: each for each in matched(boards[0])}
    for label in ("both", "wide"):
        for model in models:
            less = (recipes[label].energy(model) or 0) < (recipes["ptq"].energy(model) or 0)
            cheaper = text.partition(f"`{label}` under ")[2].partition(";")[0].partition(". Less")[0]
            assert (f"`{model}`" in cheaper.replace("‡", "")) is less, (label, model)


def test_a_recipe_that_is_no_more_at_parity_in_8_bits_is_not_called_cheap_there(make: Make) -> None:
    """It has no energy there; in 32 bits it costs many times the ANN's."""
    dear = {"label": "dear", "pj_per_step": 46000.0, "layers": LAYERS, "group": "multi-level"}
    records = [
        make({2: 0.9, 4: 0.9}, **dear, config={"precision": "float32"}),
        make({2: 0.1, 4: 0.1}, **dear, config={"precision": "int8"}, provenance_precision="int8"),
        make({2: 0.5, 4: 0.9}, label="ptq", group="baseline", pj_per_step=57.5, layers=LAYERS, sources=[]),
    ]
    for point in records[-1].curve:
        vars(point).update(spikes={}, rates={})
    (board,) = rank([completed(record) for record in records])
    text = fill("<!-- energy: memory -->\n<!-- end -->\n", [board])
    no_recipe = text.partition("costs no recipe under ")[2]
    assert "`memory-int8`" in no_recipe.partition(";")[0]


def test_recipes_are_shown_in_the_order_that_was_asked_for(boards: list[Board]) -> None:
    text = fill("<!-- energy: at-parity recipes=both,wide -->\n<!-- end -->", boards)
    assert text.index("`both`") < text.index("`wide`")
    assert "ptq" not in text


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("nothing", "has no part to fill"),
        ("<!-- energy: at-parity -->\nnever closed", "has no part to fill"),
        ("<!-- energy: parity -->\n<!-- end -->", "no part 'parity'; there are circumstances, at-parity"),
        (
            "<!-- energy: claim size=2 -->\n<!-- end -->",
            "no option 'size'; it has dataset, network and recipes",
        ),
        ("<!-- energy: claim dataset=mars -->\n<!-- end -->", "no board of mars; there are digits, net"),
        ("<!-- energy: claim recipes=ibex -->\n<!-- end -->", "no recipe 'ibex' on digits"),
    ],
)
def test_marks_that_mean_nothing_are_refused(boards: list[Board], page: str, said: str) -> None:
    with pytest.raises(PartError, match=said):
        fill(page, boards)


def test_the_picture_has_one_line_a_recipe(boards: list[Board]) -> None:
    figure = draw_models(boards[0])
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["wide (binary)", "both (burst ≤5)", "ptq (no spikes)"]
    texts = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert (texts[(0, 1)], texts[(1, 1)]) == ("0.200", "0.00217")


def test_pages_of_the_project_have_parts_that_exist() -> None:
    root = Path(__file__).parents[3]
    for page in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
        for line in page.read_text("utf-8").splitlines():
            if line.startswith("<!-- energy: "):
                assert line.split()[2] in PARTS, (page, line)
