"""Bounds of time steps and energy to parity."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from leaderboard.ranking.boards import at_limit, rank
from leaderboard.ranking.parity_intervals import CHEAP_WORK, Bounds, ParityInterval, is_cheap
from leaderboard.ranking.rows import Row, row_of
from leaderboard.ranking.shared_gaps import SharedGaps
from leaderboard.records.record import Record
from leaderboard.reports.entries import entries
from leaderboard.statistics.intervals import LEVEL
from leaderboard.statistics.resampling import resampled

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


@pytest.mark.parametrize("until", [None, 4])
@pytest.mark.parametrize("runs", [1, 2, 3])
def test_bounds_of_several_runs_are_those_of_every_draw(make: Make, runs: int, until: int | None) -> None:
    """Brute force: parity of every run on every draw, the median over runs, then the quantiles."""
    generator = np.random.default_rng(runs)
    records = [
        make(
            {t: float(m) for t, m in zip((1, 2, 4, 8), generator.uniform(0.87, 0.905, 4), strict=True)},
            seed=seed,
            pj_per_step=float(generator.uniform(50, 200)),
            count=300,
        )
        for seed in range(runs)
    ]
    found = row_of(records, until).resampled.interval(1.0, until)
    assert found is not None
    steps, costs = [], []
    for record in records:
        scores = [
            record.outcomes.scores(text) for text in (record.outcomes.ann, *record.outcomes.at.values())
        ]
        ann, *curve = resampled(scores)
        known = [(p, drawn) for p, drawn in zip(record.curve, curve, strict=True) if p.t <= (until or 8)]
        at = []
        for draw in range(len(ann)):
            reached = None
            for point, drawn in reversed(known):
                if drawn[draw] - ann[draw] < -0.01 - 1e-7:
                    break
                reached = point
            at.append(reached)
        steps.append([np.inf if p is None else p.t_total for p in at])
        ratios = [np.inf if p is None else p.energy_pj["operations"] / 4600 for p in at]
        costs.append(ratios)
    for values, bounds in ((steps, found.steps), (costs, found.energy["operations"])):
        medians = np.where(
            np.isinf(values).any(0), np.inf, np.median(np.nan_to_num(values, posinf=1e9), axis=0)
        )
        low, high = np.quantile(medians, [0.025, 0.975], method="inverted_cdf")
        expected = [None if np.isinf(each) else each for each in (low, high)]
        assert [bounds.low, bounds.high] == [None if e is None else pytest.approx(e) for e in expected]


def test_gaps_counted_together_are_those_counted_alone(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many read-outs are unpacked at a time, and whoever else is on the board."""
    generator = np.random.default_rng(4)
    records = [
        make(
            {t: float(m) for t, m in zip((1, 4), generator.uniform(0.2, 0.95, 2), strict=True)}, label=f"{i}"
        )
        for i in range(4)
    ] + [make({1: 0.9, 4: 0.8}, ann=0.85, label="other"), make(count=None, label="bare")]
    for most in (1, 3000, 2e7):
        monkeypatch.setattr("leaderboard.ranking.shared_gaps.MOST_AT_ONCE", most)
        shared = SharedGaps(records)
        for record in records:
            together, alone = shared.of(record), SharedGaps([record], singly=True).of(record)
            if together is None or alone is None:
                assert record.outcomes is None
                assert together is alone
                continue
            assert np.array_equal(together.shares, alone.shares)
            assert np.array_equal(together.ann, alone.ann)
            assert np.array_equal(together.share(1), together.shares[1])
            assert np.array_equal(alone.share(1), together.shares[1])
            assert together.draws == alone.draws == len(together.ann)
