"""How many times fewer steps than the slowest: quotients where all are known, bounds where one is not."""

from __future__ import annotations

import pytest

from leaderboard.ranking.boards import rank
from leaderboard.ranking.parity_ratios import parity_ratios
from leaderboard.reports.markdown import markdown_report


@pytest.fixture
def records(make):
    return [
        make({1: 0.5, 2: 0.895, 4: 0.9}, label="fast", group="multi-level"),
        make({2: 0.5, 16: 0.892, 32: 0.896, 64: 0.9}, label="slow"),
        make({1: 0.899}, label="quantised", group="baseline"),
    ]


@pytest.fixture
def unfinished(records, make):
    return [*records, make({8: 0.3, 128: 0.85}, label="never")]


def ratios(records, points=1.0):
    (board,) = rank(records)
    found = parity_ratios(board, points)
    return {one.label: (one.steps, one.ratio, one.at_least) for one in found}


def test_ratios_are_of_steps_to_parity(records):
    # a network without time has no place here
    assert ratios(records) == {"fast": (2, 8, False), "slow": (16, 1, False)}
    assert ratios(records, 0.5) == {"fast": (2, 16, False), "slow": (32, 1, False)}


def test_who_never_gets_there_makes_every_ratio_a_bound(unfinished):
    assert ratios(unfinished) == {"fast": (2, 64, True), "slow": (16, 8, True), "never": (None, None, False)}


def test_a_short_run_without_parity_is_no_evidence_of_slowness(records, make):
    """It may be the fastest of all: the slowest known stays the slowest, as a bound."""
    short = make({1: 0.1}, label="short")
    assert ratios([*records, short]) == {
        "fast": (2, 8, True),
        "slow": (16, 1, True),
        "short": (None, None, False),
    }


def test_no_parity_no_ratios(make):
    assert ratios([make({1: 0.1}, label="one"), make({1: 0.2}, label="other")]) == {}


def test_the_page_says_them(unfinished):
    text = markdown_report(rank(unfinished), command="spikemark results")
    assert "| fast | multi-level | 2 | ≥ 64.0× | 2 | ≥ 64.0× |" in text
    assert "| never | binary | — | — | — | — |" in text


def test_parity_is_known_for_two_distances(records):
    (board,) = rank(records)
    with pytest.raises(ValueError, match=r"1\.0 or 0\.5 points"):
        parity_ratios(board, points=2)
