"""What ranks a row, and who shares a rank: small boards by hand, and resampling by brute force."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from leaderboard.ranking.boards import at_limit, ordered_by, rank
from leaderboard.ranking.orders import KINDS, Order, area_of, ranked
from leaderboard.ranking.rows import row_of
from leaderboard.ranking.winners import leading
from leaderboard.records.record import Outcomes, Record
from leaderboard.scores.proportions import encode_outcomes
from leaderboard.statistics.resampling import resampled, resampled_gap, resampled_gaps, resampled_share

Make = Callable[..., Record]


def places(records: list[Record], order: Order) -> list[tuple[str, int | None, bool]]:
    (board,) = rank(records, order=order)
    return [(row.label, row.rank, row.tied) for row in board.rows]


def test_fewest_steps_to_parity_come_first_then_least_energy(make: Make) -> None:
    records = [
        make({1: 0.5, 4: 0.9, 8: 0.93}, label="late and accurate"),
        make({1: 0.5, 2: 0.9, 8: 0.9}, label="dear", pj_per_step=200.0),
        make({1: 0.5, 2: 0.9, 8: 0.9}, label="cheap"),
        make({1: 0.5, 2: 0.5, 8: 0.6}, label="never"),
        make({1: 0.5, 2: 0.5, 8: 0.7}, label="never, nearer"),
    ]
    assert places(records, Order()) == [
        ("cheap", 1, False),
        ("dear", 2, False),
        ("late and accurate", 3, False),
        ("never, nearer", 4, False),
        ("never", 5, False),
    ]
    assert places(records, Order("accuracy"))[0] == ("late and accurate", 1, False)


def test_ties_share_a_rank_as_in_sports(make: Make) -> None:
    records = [make({4: metric}, label=f"r{metric}") for metric in (0.85, 0.849, 0.75)]
    assert places(records, Order("accuracy")) == [
        ("r0.85", 1, True),
        ("r0.849", 1, True),
        ("r0.75", 3, False),
    ]
    without = [make({4: metric}, label=f"r{metric}", count=None) for metric in (0.85, 0.849)]
    assert [rank for _, rank, _ in places(without, Order("accuracy"))] == [1, 2]


def test_steps_to_parity_that_the_images_leave_open_are_a_tie(make: Make) -> None:
    """At t = 2 the second is just within a point: on about half of all test sets it is not."""
    clear, open_ = make({2: 0.9, 4: 0.9}, label="clear"), make({2: 0.8895, 4: 0.9}, label="open")
    far = make({2: 0.7, 4: 0.9}, label="z far")
    assert [row.steps_within_1_point for row in rank([clear, open_, far])[0].rows] == [2, 4, 4]
    assert places([clear, open_, far], Order()) == [
        ("clear", 1, True),
        ("open", 1, True),
        ("z far", 3, False),
    ]
    # Without outcomes nobody can tell how sure the steps are, so they count as they stand.
    bare = [make({2: m, 4: 0.9}, label=f"{m}", count=None) for m in (0.9, 0.8895)]
    assert [rank for _, rank, _ in places(bare, Order())] == [1, 2]


def test_a_tie_is_one_with_the_first_of_the_rank_not_with_any(make: Make) -> None:
    """a = b and b = c do not make a = c: c begins a rank of its own."""
    records = [make({4: metric}, label=label) for label, metric in (("a", 0.80), ("b", 0.798), ("c", 0.796))]
    assert places(records, Order("accuracy")) == [("a", 1, True), ("b", 1, True), ("c", 3, False)]


def test_energy_ranks_rows_with_a_figure_alone(make: Make) -> None:
    records = [
        make({1: 0.9}, label="dear", pj_per_step=2000.0),
        make({4: 0.9}, label="cheap"),
        make({4: 0.5}, label="never"),
        make({4: 0.9}, label="ptq", group="baseline"),
    ]
    assert [(label, place) for label, place, _ in places(records, Order("energy", "operations"))] == [
        ("cheap", 1),
        ("dear", 2),
        ("never", None),
        ("ptq", None),
    ]


def test_the_area_is_the_mean_over_powers_of_two(make: Make) -> None:
    row = row_of([make({2: 0.4, 8: 0.8})])
    assert area_of(row, 8) == pytest.approx((0 + 0.4 + 0.4 + 0.8) / 4)
    assert area_of(row, 15) == pytest.approx(area_of(row, 8))
    assert area_of(row, 16) == pytest.approx((0.4 + 0.4 + 0.8 + 0.8) / 5)
    early, late = make({1: 0.6, 4: 0.7}, label="early"), make({1: 0.1, 4: 0.8}, label="late")
    assert [label for label, *_ in places([early, late], Order("area"))] == ["early", "late"]
    assert [label for label, *_ in places([early, late], Order("accuracy"))] == ["late", "early"]


def test_a_limit_ranks_what_was_read_out_by_then_in_every_order(make: Make) -> None:
    records = [make({1: 0.8, 8: 0.81}, label="early"), make({1: 0.1, 8: 0.9}, label="late")]
    boards = rank(records)
    for kind in ("parity", "accuracy", "area"):
        (limited,) = at_limit(boards, 2, Order(kind))
        assert [row.label for row in limited.rows] == ["early", "late"], kind
    assert [row.label for row in ordered_by(boards, Order("accuracy"))[0].rows] == ["late", "early"]


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_do_not_depend_on_the_order_in_which_records_come(make: Make, kind: str) -> None:
    generator = np.random.default_rng(3)
    records = [
        make({1: a / 100, 4: b / 100, 8: c / 100}, label=f"r{i}")
        for i, (a, b, c) in enumerate(np.sort(generator.integers(60, 92, (12, 3)), axis=1))
    ]
    expected = places(records, Order(kind))  # type: ignore[arg-type]
    assert places(records[::-1], Order(kind)) == expected  # type: ignore[arg-type]
    ranks = [place for _, place, _ in expected if place is not None]
    assert all(place == index or place == ranks[index - 2] for index, place in enumerate(ranks, 1))


def test_gaps_on_draws_are_differences_of_shares_on_the_same_draws() -> None:
    generator = np.random.default_rng(5)
    ann = generator.random(300) < 0.9
    curve = [np.logical_xor(ann, generator.random(300) < share) for share in (0.3, 0.02)]
    texts = {t: encode_outcomes(right) for t, right in zip((1, 2), curve, strict=True)}
    outcomes = Outcomes(measure="top1", count=300, ann=encode_outcomes(ann), at=texts)
    scores = [outcomes.scores(text) for text in (outcomes.ann, *outcomes.at.values())]
    gaps, share = resampled_gaps(scores[0], scores[1:]), resampled_share(scores[0])
    first, *others = resampled(scores)
    assert np.allclose(share, first)
    assert np.allclose(gaps / 300, np.stack(others) - first)
    for one, gap in zip(scores[1:], gaps, strict=True):
        assert np.array_equal(resampled_gap(scores[0], one), gap)


def test_a_row_alone_is_first(make: Make) -> None:
    (row,) = ranked([row_of([make()])])
    assert (row.rank, row.tied) == (1, False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [None, 4])
def test_leaders_alone_are_those_of_the_whole_ranking(make: Make, kind: str, limit: int | None) -> None:
    """Whether somebody shares the lead does not depend on who else is ranked."""
    for seed in range(6):
        generator = np.random.default_rng(seed)
        records = [
            make({1: a / 100, 4: b / 100, 8: c / 100}, label=f"r{i}")
            for i, (a, b, c) in enumerate(np.sort(generator.integers(60, 92, (5, 3)), axis=1))
        ] + [make({8: 0.9}, label="ptq", group="baseline")]
        order = Order(kind)  # type: ignore[arg-type]
        whole = at_limit(rank(records, order=order), limit, order)
        short = at_limit(rank(records, order=order, leaders=True), limit, order, leaders=True)
        for one, other in zip(whole, short, strict=True):
            assert leading(one, order, limit) == leading(other, order, limit)
            assert [row.label for row in one.rows] == [row.label for row in other.rows]
        again = ordered_by(short, order, limit)
        assert [[(r.rank, r.tied) for r in b.rows] for b in again] == [
            [(r.rank, r.tied) for r in b.rows] for b in whole
        ]
