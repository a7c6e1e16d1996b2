"""The sentence that names who leads, and by how much."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leaderboard.ranking.boards import at_limit, only_recipe, rank
from leaderboard.ranking.orders import Order
from leaderboard.ranking.winners import winners
from leaderboard.records.record import Record

Make = Callable[..., Record]


def said(records: list[Record], order: Order = Order()) -> str:  # noqa: B008 - it is frozen
    (board,) = rank(records, order=order)
    (sentence,) = winners(board, order).values()
    return sentence


def test_the_margin_is_that_to_the_next_rank(make: Make) -> None:
    fast = make({2: 0.9, 8: 0.9}, label="fast")
    slow = make({2: 0.5, 8: 0.9}, label="slow")
    assert said([slow, fast]) == "Binary spikes: fast takes 2 time steps to parity, 4.00× fewer than slow."
    dear = make({2: 0.9, 8: 0.9}, label="dear", pj_per_step=150.0)
    assert said([dear, fast]) == (
        "Binary spikes: fast takes 2 time steps to parity, as dear, for 1.50× less energy there."
    )
    never = make({2: 0.5, 8: 0.6}, label="never")
    assert said([never, fast]) == "Binary spikes: fast takes 2 time steps to parity, the only one at parity."
    assert said([fast]) == "Binary spikes: fast takes 2 time steps to parity, alone in its group."


def test_those_who_share_the_first_rank_are_all_named(make: Make) -> None:
    twins = [make({4: 0.9}, label=name) for name in ("a", "b")]
    assert said(twins) == (
        "Binary spikes: a takes 4 time steps to parity; the test images do not tell it from b (4)."
    )
    many = [make({4: 0.9}, label=name) for name in "abcdefg"]
    assert "do not tell it from b (4), c (4), d (4), e (4) and 2 more" in said(many)
    unsure = [make({4: 0.8905}, label="sure"), make({4: 0.8895}, label="not")]
    assert said(unsure).endswith(
        "sure takes 4 time steps to parity; the test images do not tell it from not (not at parity)."
    )


def test_where_nobody_is_at_parity_the_nearest_are_named(make: Make) -> None:
    records = [make({4: 0.5}, label="far"), make({4: 0.8}, label="near")]
    assert said(records) == "Binary spikes: nobody is at parity; near is nearest, −10.00 points from its ANN."


def test_other_orders_say_their_own_figures(make: Make) -> None:
    good, bad = make({1: 0.5, 4: 0.9}, label="good"), make({1: 0.4, 4: 0.7}, label="bad")
    sentence = said([good, bad], Order("accuracy"))
    assert sentence.startswith("Binary spikes: good has 90.00 %, +20.00 points against bad (95 %: +17.")
    assert said([good, bad], Order("area")) == (
        "Binary spikes: good has 63.33 % in the mean over T = 1, 2, 4, ..., +13.33 points against bad."
    )
    near = make({1: 0.9, 4: 0.9}, label="near", pj_per_step=46.0)
    assert said([near, good], Order("energy")) == (
        "Binary spikes: near takes 0.0100× the ANN's energy at parity (operations), 8.70× less than good."
    )
    with pytest.raises(ValueError, match="unpack"):
        said([make(group="baseline")])


def test_under_a_limit_it_speaks_of_what_was_read_out_by_then(make: Make) -> None:
    boards = rank([make({1: 0.5, 8: 0.9}, label="late"), make({1: 0.8, 8: 0.8}, label="early")])
    (limited,) = at_limit(boards, 1)
    assert winners(limited)["binary"] == (
        "Binary spikes: nobody is at parity; early is nearest, −10.00 points from its ANN."
    )


def test_a_part_of_a_board_without_its_leader_names_nobody(make: Make) -> None:
    boards = rank([make({4: 0.9}, label="leader"), make({4: 0.1}, label="last")])
    assert winners(boards[0])
    (part,) = only_recipe(boards, "last")
    assert winners(part) == {}
