from collections.abc import Callable
from itertools import pairwise

import pytest

from leaderboard.figures import metric_over_energy, metric_over_time
from leaderboard.ranking import rank
from leaderboard.records import Record

Make = Callable[..., Record]


def test_metric_over_time(make: Make) -> None:
    (board,) = rank([make({1: 0.5, 2: 0.6, 8: 0.9}, ann=0.9, t_before=1)])
    figure = metric_over_time(board)
    line, ann = figure["data"]
    assert (line["name"], line["x"], line["y"]) == ("recipe", [2, 3, 9], [50.0, 60.0, 90.0])
    assert (ann["x"], ann["y"], ann["line"]["dash"]) == ([2, 9], [90.0, 90.0], "dash")
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert figure["layout"]["xaxis"]["tickvals"] == [2, 4, 8]
    assert figure["near"] == [85.0, 90.5]


def test_a_reference_without_time_is_a_line_across(make: Make) -> None:
    (board,) = rank([make({1: 0.5, 8: 0.9}), make({1: 0.85}, label="ptq", group="baseline")])
    ptq = metric_over_time(board)["data"][1]
    assert (ptq["x"], ptq["y"], ptq["mode"]) == ([1, 8], [85.0, 85.0], "lines")


def test_a_single_readout_still_has_an_axis(make: Make) -> None:
    (board,) = rank([make({4: 0.9})])
    figure = metric_over_time(board)
    assert figure["data"][-1]["x"] == [4, 8]
    assert figure["layout"]["xaxis"]["tickvals"] == [4, 8]


def test_metric_over_energy(make: Make) -> None:
    # 2 µJ a step for the first recipe, 1 µJ for the second; the ANN takes 4600 pJ.
    records = [
        make({1: 0.6, 2: 0.9}, label="good", pj_per_step=2e6),
        make({1: 0.5, 2: 0.55}, label="cheap", pj_per_step=1e6),
        make({1: 0.8}, label="ptq", group="baseline", pj_per_step=1e5),
    ]
    front, good, cheap, ptq, ann = metric_over_energy(rank(records)[0])["data"]
    assert (good["x"], good["y"], good["customdata"]) == ([2.0, 4.0], [60.0, 90.0], ["1", "2"])
    assert cheap["x"] == [1.0, 2.0]
    # At 2 µJ the good recipe beats the cheap one; the reference is on no front of spiking networks.
    assert (front["x"], front["y"]) == ([1.0, 2.0, 4.0], [50.0, 60.0, 90.0])
    assert front["meta"]["group"] == good["meta"]["group"] == "binary"
    assert "customdata" not in ptq
    assert (ann["x"], ann["marker"]["symbol"]) == ([pytest.approx(0.0046)], "star")


def test_every_group_has_a_front_of_its_own(make: Make) -> None:
    records = [
        make({1: 0.6, 2: 0.7}, label="dear", pj_per_step=2e6),
        make({1: 0.8, 2: 0.9}, label="better in every way", group="multi-level", pj_per_step=1e6),
    ]
    first, second = metric_over_energy(rank(records)[0])["data"][:2]
    assert (first["meta"]["group"], first["x"], first["y"]) == ("binary", [2.0, 4.0], [60.0, 70.0])
    assert (second["meta"]["group"], second["x"], second["y"]) == ("multi-level", [1.0, 2.0], [80.0, 90.0])
    assert first["line"]["dash"] != second["line"]["dash"]


def test_energies_of_another_model(make: Make) -> None:
    record = make({1: 0.6})
    points = [p.model_copy(update={"energy_pj": {"memory": 3e6}}) for p in record.curve]
    (board,) = rank([record.model_copy(update={"curve": points})])
    assert [trace["x"] for trace in metric_over_energy(board, "memory")["data"]] == [[3.0], [3.0]]
    assert [trace["name"] for trace in metric_over_energy(board)["data"]] == ["ANN"]


def test_steps_that_are_means_over_images(make: Make) -> None:
    (board,) = rank([make({8: 0.7, 32: 0.9}, t_before=-2.6, method_parts={"exit": {"name": "entropy"}})])
    figure = metric_over_time(board)
    assert figure["data"][0]["x"] == [pytest.approx(5.4), pytest.approx(29.4)]
    assert figure["layout"]["xaxis"]["tickvals"] == [8, 16]
    assert metric_over_energy(board)["data"][1]["customdata"] == ["5.4 (≤8)", "29.4 (≤32)"]


def test_recipes_without_energy_are_left_out(make: Make) -> None:
    (board,) = rank([make(pj_per_step=0.0)])
    assert [trace["name"] for trace in metric_over_energy(board)["data"]] == ["ANN"]


def test_lines_differ_by_more_than_colour(make: Make) -> None:
    (board,) = rank([make(label=f"r{number:02}") for number in range(24)])
    looks = [
        (trace["meta"]["colour"], trace["marker"]["symbol"], trace["line"]["dash"])
        for trace in metric_over_time(board)["data"][:-1]
    ]
    assert len(set(looks)) == 24
    for this, following in pairwise(looks):
        assert this[0] != following[0]
        assert this[1] != following[1]


def test_names_are_text_to_plotly(make: Make) -> None:
    (board,) = rank([make(label='<a href="x">&amp;</a>'), make({1: 0.1}, label="n" * 80)])
    first, second, _ = metric_over_time(board)["data"]
    assert first["name"] == '&lt;a href="x"&gt;&amp;amp;&lt;/a&gt;'
    assert second["name"] == "n" * 25 + "…"
