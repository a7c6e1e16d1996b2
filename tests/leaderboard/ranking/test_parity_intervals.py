"""Bounds of time steps and energy to parity."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from leaderboard.ranking.boards import at_limit, rank
from leaderboard.ranking.parity_intervals import CHEAP_WORK, Bounds, ParityInterval, is_cheap
from leaderboard.ranking.rows import Row, row_of
from leaderboard.records.record import Record
from leaderboard.reports.entries import entries
from leaderboard.statistics.intervals import LEVEL

Make = Callable[..., Record]


def parity_interval(row: Row, points: float, level: float = LEVEL) -> ParityInterval | None:
    return row.resampled.interval(points, row.until, level=level)


def test_a_curve_that_is_clear_everywhere_has_no_room(make: Make) -> None:
    record = make({1: 0.5, 2: 0.9, 4: 0.9}, ann=0.9)
    found = parity_interval(row_of([record]), 1.0)
    assert found is not None
    assert found.steps == Bounds(2, 2)
    assert found.energy == {"operations": Bounds(200 / 4600, 200 / 4600)}


def test_bounds_are_those_of_an_enumeration_of_test_sets(make: Make) -> None:
    """Two read-outs that differ from the ANN on a few images: parity is a sum of binomials, known exactly."""
    images = 200
    record = make({1: 0.885, 2: 0.895}, ann=0.9, count=images)
    found = parity_interval(row_of([record]), 1.0)
    assert found is not None
    # `make` has the first images right, so the ANN is ahead on 3 images at t = 1 and on 1 of them at t = 2.
    # A draw is within a point while those come up at most twice.
    drawn = np.random.default_rng(1).multinomial(
        images, [1 / images, 2 / images, 1 - 3 / images], size=200_000
    )
    both, first = drawn[:, 0], drawn[:, 0] + drawn[:, 1]
    steps = np.where(both > 2, np.inf, np.where(first > 2, 2, 1))
    assert (steps == np.inf).mean() > 0.025  # so the upper bound lies beyond what was run
    assert found.steps == Bounds(1, None)
    assert found.energy["operations"] == Bounds(100 / 4600, None)
    wider = parity_interval(row_of([record]), 1.0, level=0.8)
    assert wider is not None
    assert wider.steps == Bounds(*np.quantile(steps, [0.1, 0.9], method="inverted_cdf"))


def test_a_run_that_never_arrives_has_no_lower_bound(make: Make) -> None:
    found = parity_interval(row_of([make({1: 0.1, 2: 0.2})]), 1.0)
    assert found is not None
    assert found.steps == Bounds(None, None)


def test_seeds_are_pooled_by_their_median_and_one_that_fails_spoils_it(make: Make) -> None:
    early, late = make({1: 0.9, 8: 0.9}, seed=0), make({1: 0.2, 8: 0.9}, seed=1)
    found = parity_interval(row_of([early, late]), 1.0)
    assert found is not None
    assert found.steps == Bounds(4.5, 4.5)
    never = parity_interval(row_of([early, make({1: 0.2, 8: 0.3}, seed=1)]), 1.0)
    assert never is not None
    assert never.steps == Bounds(None, None)


def test_only_read_outs_within_the_limit_count(make: Make) -> None:
    (board,) = at_limit(rank([make({1: 0.9, 2: 0.9, 4: 0.2})]), 2)
    found = parity_interval(board.rows[0], 1.0)
    assert found is not None
    assert found.steps == Bounds(1, 1)
    whole = parity_interval(row_of(board.rows[0].records), 1.0)
    assert whole is not None
    assert whole.steps == Bounds(None, None)


def test_without_outcomes_or_with_costly_ones_there_is_none(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parity_interval(row_of([make(count=None)]), 1.0) is None
    row: Row = row_of([make()])
    monkeypatch.setattr("leaderboard.scores.proportions.Proportion.work", CHEAP_WORK + 1)
    assert is_cheap(row.records)  # shares of images are, however many images there are
    costly = SimpleNamespace(right=None, work=CHEAP_WORK + 1)
    monkeypatch.setattr("leaderboard.ranking.parity_intervals.snn_scores", lambda *_: costly)
    assert not is_cheap(row.records)
    assert parity_interval(row, 1.0) is None


def test_programs_get_the_bounds(make: Make) -> None:
    (entry,) = entries(rank([make({1: 0.5, 2: 0.9, 4: 0.9})]))
    assert [entry[f"t_to_1_point{end}"] for end in ("", "_low", "_high")] == [2, 2, 2]
    assert [entry[f"t_to_half_point{end}"] for end in ("", "_low", "_high")] == [2, 2, 2]
    energies = [entry[f"energy_at_parity_operations{end}"] for end in ("", "_low", "_high")]
    assert energies == pytest.approx([200 / 4600] * 3)
