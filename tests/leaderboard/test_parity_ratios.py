"""Ratios of time steps to parity: quotients where both are known, bounds where one is not."""

from __future__ import annotations

import pytest

from leaderboard.parity_ratios import parity_ratios, sentences
from leaderboard.ranking import rank


@pytest.fixture
def board(make):
    records = [
        make({1: 0.5, 2: 0.895, 4: 0.9}, label="fast", group="multi-level"),
        make({2: 0.5, 16: 0.892, 32: 0.896, 64: 0.9}, label="slow"),
        make({8: 0.3, 128: 0.85}, label="never"),
        make({1: 0.899}, label="quantised", group="baseline"),
    ]
    (board,) = rank(records)
    return board


def test_ratios_are_of_steps_to_parity(board):
    found = {one.label: one for one in parity_ratios(board, "fast")}
    assert set(found) == {"fast", "slow", "never"}  # a network without time has no place here
    assert (found["slow"].steps, found["slow"].ratio, found["slow"].at_least) == (16, 8, False)
    assert (found["never"].steps, found["never"].ratio, found["never"].at_least) == (None, 64, True)
    assert found["fast"].ratio == 1
    closer = {one.label: one for one in parity_ratios(board, "fast", points=0.5)}
    assert closer["slow"].ratio == 32 / 2


def test_a_reference_without_parity_gives_no_ratio(board):
    assert {one.ratio for one in parity_ratios(board, "never")} == {None}


def test_ratios_in_words(board):
    said = sentences(parity_ratios(board, "fast"), "fast")
    assert "slow: 16 steps, 8 times those of fast" in said
    assert "never: parity not reached, at least 64 times those of fast" in said
    assert sentences(parity_ratios(board, "never"), "never")[0].endswith("never did not reach parity")


def test_what_is_not_there_is_named(board):
    with pytest.raises(ValueError, match=r"no recipe 'fest'; it has .*fast"):
        parity_ratios(board, "fest")
    with pytest.raises(ValueError, match=r"1\.0 or 0\.5 points"):
        parity_ratios(board, "fast", points=2)
