"""Energy at parity against hand-made curves that spend 100 pJ a step; the ANN spends 4600."""

from __future__ import annotations

import pytest

from energy import REFERENCE
from leaderboard.costs.at_parity import parity_energy_table
from leaderboard.page.html import page_html
from leaderboard.ranking.boards import rank
from leaderboard.reports.markdown import markdown_report


@pytest.fixture
def board(make):
    records = [
        make({1: 0.5, 8: 0.892, 16: 0.9}, label="both", group="multi-level"),
        make({4: 0.5, 32: 0.893}, label="near", group="multi-level"),
        make({2: 0.3, 64: 0.85}, label="never"),
        make({1: 0.899}, label="quantised", group="baseline", method_alphabet="none"),
    ]
    (found,) = rank(records)
    return found


def cells(board) -> dict[str, dict[str, str]]:
    header, lines = parity_energy_table(board)
    return {line[0]: dict(zip(header, line, strict=True)) for line in lines}


def test_energy_is_that_of_the_first_read_out_at_each_parity(board):
    found = cells(board)["both"]
    assert (found["T to 1.0"], found["T to 0.5"]) == ("8", "16")
    assert found[f"{REFERENCE}, 1.0"] == "0.174×"  # 800 / 4600
    assert found[f"{REFERENCE}, 0.5"] == "0.348×"


def test_parity_that_was_not_reached_says_by_when(board):
    found = cells(board)
    assert found["near"]["T to 1.0"] == "32"
    assert found["near"]["T to 0.5"] == "not by T=32"
    assert found["never"]["T to 1.0"] == found["never"]["T to 0.5"] == "not by T=64"
    assert found["never"][f"{REFERENCE}, 1.0"] == "—"


def test_the_quantised_network_has_no_time_but_an_energy(board):
    found = cells(board)["quantised"]
    assert found["T to 1.0"] == "n/a"
    assert found[f"{REFERENCE}, 1.0"] == found[f"{REFERENCE}, 0.5"] == "0.0217×"


def test_page_and_markdown_show_it(board):
    for text in (page_html([board]), markdown_report([board], command="x")):
        assert "not by T=64" in text
        assert "Energy at parity" in text
