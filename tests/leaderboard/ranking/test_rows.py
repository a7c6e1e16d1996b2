from collections.abc import Callable
from typing import Any

import pytest

from leaderboard.ranking.rows import pool_by_seed, row_of
from leaderboard.records.record import Record
from leaderboard.statistics.intervals import wilson_interval

Make = Callable[..., Record]


def test_only_seeds_are_pooled(make: Make) -> None:
    a0, a1 = make(label="a", seed=0), make(label="a", seed=1)
    b0 = make(label="a", seed=0, config={"bits": 4})
    c0 = make(label="a", seed=0, method_parts={"neuron": "burst"})
    pools = pool_by_seed([c0, a1, b0, a0])
    assert sorted([r.cell_id for r in pool] for pool in pools) == sorted(
        [[a0.cell_id, a1.cell_id], [b0.cell_id], [c0.cell_id]]
    )


def test_seeds_deep_in_the_configuration_are_left_out(make: Make) -> None:
    records = [make(seed=s, config={"ann": {"training": [{"seed": s, "epochs": 3}]}}) for s in (0, 1)]
    assert len(pool_by_seed(records)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": {"seed": 3, "z": 1}}, {"a": {"z": 1}}),
        ({"a": {"b": 1, "seed": -3}}, {"a": {"b": 1}}),
        ({"a": {"seed": 3}}, {"a": {}}),
        ({"a": {"seed": [3, {"deep": 1}], "z": 1}}, {"a": {"z": 1}}),
        ({"a": {"seed": None}}, {"a": {"seed": 0.5}}),
    ],
)
def test_any_entry_called_seed_is_left_out(make: Make, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert len(pool_by_seed([make(seed=0, config=one), make(seed=1, config=other)])) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": '"seed": 1'}, {"a": '"seed": 2'}),
        ({"a": 'x, "seed": 1, "y'}, {"a": 'x, "seed": 2, "y'}),
        ({"a": '\\"seed": 1'}, {"a": '\\"seed": 2'}),
        ({"reseed": 1}, {"reseed": 2}),
        ({"a": "seed", "b": 1}, {"a": "seed", "b": 2}),
    ],
)
def test_what_only_looks_like_a_seed_counts(make: Make, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert len(pool_by_seed([make(seed=0, config=one), make(seed=1, config=other)])) == 2


def test_a_single_run(make: Make) -> None:
    row = row_of([make({1: 0.5, 4: 0.895}, ann=0.9, t_before=2, pj_per_step=100.0)])
    assert (row.label, row.group, row.alphabet, row.max_per_step) == ("recipe", "binary", "binary", 1)
    assert (row.seeds, row.final_t_total, row.metric, row.metric_std) == ((0,), 6, 0.895, None)
    assert row.interval == wilson_interval(0.895, 1000)
    assert row.gap_points == pytest.approx(-0.5)
    assert row.gap_interval is not None
    assert -1.1 < row.gap_interval.low < -0.5 < row.gap_interval.high <= 0
    assert (row.steps_within_1_point, row.steps_within_half_point) == (6, 6)
    assert (row.final_averaged, row.records[0].curve[-1].averaged) == (4, None)
    assert row.energy_at_parity == {"operations": pytest.approx(600 / 4600)}
    assert row.final_energy == {"operations": pytest.approx(600 / 4600)}
    assert row.firing_rate == pytest.approx(0.125)


def test_several_seeds_are_averaged_and_parity_is_the_median(make: Make) -> None:
    curves = [
        {1: 0.9, 2: 0.9, 8: 0.90},  # parity at 1
        {1: 0.5, 2: 0.9, 8: 0.90},  # parity at 2
        {1: 0.5, 2: 0.5, 8: 0.93},  # parity at 8
    ]
    row = row_of([make(curve, seed=seed, ann=0.9) for seed, curve in enumerate(curves)])
    assert row.seeds == (0, 1, 2)
    assert row.metric == pytest.approx(0.91)
    assert row.metric_std == pytest.approx(0.03 / 3**0.5)  # deviations -1, -1, 2 points; n - 1
    assert row.steps_within_1_point == 2
    assert row.energy_at_parity == {"operations": pytest.approx(200 / 4600)}
    # Seeds share their images, so the interval is that of one test set.
    assert row.interval is not None
    assert row.interval.low == pytest.approx(wilson_interval(0.91, 1000).low)
    assert [(point.t, pytest.approx(point.metric)) for point in row.curve] == [
        (1, pytest.approx(1.9 / 3)),
        (2, pytest.approx(2.3 / 3)),
        (8, pytest.approx(0.91)),
    ]


def test_one_seed_that_never_reaches_parity_decides(make: Make) -> None:
    row = row_of([make({1: 0.9}, seed=0), make({1: 0.9}, seed=1), make({1: 0.5}, seed=2)])
    assert row.steps_within_1_point is None
    assert row.energy_at_parity == {"operations": None}


def test_figures_that_are_missing_stay_missing(make: Make) -> None:
    record = make({1: 0.9}, count=None, sources=[])
    bare = record.curve[0].model_copy(update={"rates": {}, "energy_pj": {}})
    row = row_of([record.model_copy(update={"curve": [bare]})])
    assert (row.interval, row.gap_interval, row.firing_rate) == (None, None, None)
    assert row.energy_at_parity == row.final_energy == {"operations": None}
    assert row.steps_within_1_point == 1
    assert row.curve[0].energy_pj == {}


def test_the_curve_holds_the_readouts_that_all_runs_share(make: Make) -> None:
    row = row_of([make({1: 0.5, 2: 0.6, 4: 0.9}, seed=0), make({1: 0.7, 4: 0.8}, seed=1)])
    assert [point.t for point in row.curve] == [1, 4]
    assert row.curve[0].metric == pytest.approx(0.6)
    assert row.curve[1].energy_pj == {"operations": pytest.approx(400.0)}


def test_runs_that_exit_at_different_steps_are_averaged_by_readout(make: Make) -> None:
    early, late = ({8: 0.7, 64: 0.9}, -2.5), ({8: 0.8, 64: 0.8}, -3.5)
    exits = {"exit": {"name": "entropy"}}
    runs = [make(c, t_before=b, seed=s, method_parts=exits) for s, (c, b) in enumerate((early, late))]
    row = row_of(runs)
    assert [(p.t, p.t_total, p.averaged) for p in row.curve] == [(8, 5.0, 8), (64, 61.0, 64)]
    assert [p.metric for p in row.curve] == [pytest.approx(0.75), pytest.approx(0.85)]
    assert (row.final_t_total, row.final_averaged) == (61.0, 64)


def test_the_divergence_is_known_if_every_run_has_it(make: Make) -> None:
    runs = [make(seed=0, kl=0.2), make(seed=1, kl=0.4), make(seed=2)]
    assert [point.kl for point in row_of(runs[:2]).curve] == [pytest.approx(0.3)] * 3
    assert [point.kl for point in row_of(runs).curve] == [None] * 3
