from collections.abc import Callable

import pytest

from leaderboard.records.record import Outcomes, Point, Record
from leaderboard.scores.proportions import Proportion
from leaderboard.statistics.figures import (
    ann_scores,
    energy_at_parity,
    final_point,
    mean_firing_rate,
    metric_at,
    pareto_front,
    snn_minus_ann,
    snn_minus_snn,
    snn_scores,
    time_steps_to_parity,
)

Make = Callable[..., Record]


def test_metric_at_counts_averaged_steps(make: Make) -> None:
    record = make({1: 0.5, 2: 0.7}, t_before=10)
    assert metric_at(record, 2) == 0.7
    with pytest.raises(ValueError, match=f"record {record.cell_id} has no read-out at t=12; measured: 1, 2"):
        metric_at(record, 12)


def test_parity_must_hold_at_every_later_readout(make: Make) -> None:
    # Within 1 point at t=2, lost at t=4, regained at t=8 for good.
    record = make({1: 0.5, 2: 0.895, 4: 0.88, 8: 0.891, 16: 0.893}, ann=0.9)
    assert time_steps_to_parity(record, 1.0) == 8
    assert time_steps_to_parity(record, 0.5) is None
    assert time_steps_to_parity(record, 50.0) == 1


def test_parity_lost_at_the_end_is_never(make: Make) -> None:
    assert time_steps_to_parity(make({1: 0.9, 2: 0.9, 4: 0.8}, ann=0.9), 1.0) is None


def test_better_than_the_ann_is_parity(make: Make) -> None:
    assert time_steps_to_parity(make({1: 0.5, 2: 0.95}, ann=0.9), 0.5) == 2


def test_exactly_one_point_is_within_one_point(make: Make) -> None:
    # As float32, which metrics may have been: 0.91 - 0.01 comes out above 0.90.
    ann, snn = 0.9100000262260437, 0.8999999761581421
    assert ann - 0.01 > snn
    assert time_steps_to_parity(make({1: snn}, ann=ann), 1.0) == 1
    assert time_steps_to_parity(make({1: 0.8899}, ann=0.90, count=None), 1.0) is None


def test_parity_counts_every_step_and_ignores_the_order_of_the_curve(make: Make) -> None:
    record = make({8: 0.9, 1: 0.5, 4: 0.9}, ann=0.9, t_before=3)
    assert time_steps_to_parity(record, 1.0) == 7
    assert final_point(record).t_total == 11


def test_energy_at_parity_is_relative_to_the_ann(make: Make) -> None:
    # Parity at t=4, 100 pJ a step: 400 pJ of the ANN's 4600 pJ.
    record = make({2: 0.5, 4: 0.9}, pj_per_step=100.0)
    assert energy_at_parity(record, 1.0) == pytest.approx(400 / 4600)
    assert energy_at_parity(make({2: 0.5}), 1.0) is None


def test_energy_needs_a_figure_on_both_sides(make: Make) -> None:
    record = make({1: 0.9})
    with_memory = record.ann.model_copy(update={"energy_pj": {"operations": 0.0, "memory": 5.0}})
    changed = record.model_copy(update={"ann": with_memory})
    assert energy_at_parity(changed, 1.0, "memory") is None  # the spiking side lacks it
    assert energy_at_parity(changed, 1.0, "operations") is None  # no multiple of zero
    assert energy_at_parity(record, 1.0, "memory") is None


def test_firing_rate_weighs_neurons_not_layers(make: Make) -> None:
    # 100 neurons at 0.2, 300 at 0.1; the pooling layer does not count: (20 + 30) / 400.
    record = make({1: 0.5})
    assert mean_firing_rate(record, final_point(record)) == pytest.approx(0.125)
    silent = Point(t=1, t_total=1, metrics={}, spikes={}, rates={"pool": 9.0}, synops={}, energy_pj={})
    assert mean_firing_rate(record, silent) is None


def test_outcomes_are_those_of_the_asked_readout(make: Make) -> None:
    record = make({1: 0.25, 2: 0.5}, ann=0.75, count=4)
    first, final, ann = snn_scores(record, 1), snn_scores(record), ann_scores(record)
    assert isinstance(first, Proportion)
    assert isinstance(final, Proportion)
    assert isinstance(ann, Proportion)
    assert first.right.tolist() == [True, False, False, False]
    assert final.right.tolist() == [True, True, False, False]
    assert ann.right.tolist() == [True, True, True, False]
    assert snn_scores(record, 3) is None
    assert snn_scores(make(count=None)) is None


def test_outcomes_of_another_measure_are_not_used(make: Make) -> None:
    record = make({1: 0.5}, outcomes=Outcomes(measure="pixels", count=8, ann="8A==", at={1: "8A=="}))
    assert snn_scores(record) is None
    assert ann_scores(record) is None
    assert snn_minus_ann([record]) is None


def test_paired_difference_to_the_ann(make: Make) -> None:
    # The first 500 images are right for both, the next 400 only for the ANN.
    difference = snn_minus_ann([make({1: 0.5}, ann=0.9, count=1000)])
    assert difference is not None
    assert difference.mean == pytest.approx(-0.4)
    assert -0.44 < difference.low < -0.4 < difference.high < -0.36
    assert difference.excludes_zero
    assert snn_minus_ann([make(), make(seed=1, count=None)]) is None


def test_paired_difference_of_two_recipes(make: Make) -> None:
    a, b = make({1: 0.80}, label="a"), make({1: 0.79}, label="b")
    difference = snn_minus_snn([a], [b])
    assert difference is not None
    assert difference.mean == pytest.approx(0.01)
    assert difference.excludes_zero  # 10 images of 1000, all in favour of a
    assert snn_minus_snn([a], [b], t=7) is None


def test_different_test_sets_cannot_be_paired(make: Make) -> None:
    a, b = make(label="a"), make(label="b", provenance_data={"test": "other"})
    with pytest.raises(ValueError, match="different test images"):
        snn_minus_snn([a], [b])
    with pytest.raises(ValueError, match="different test images"):
        snn_minus_ann([make(), make(seed=1, count=500)])


def test_pareto_front_by_hand() -> None:
    #          0: front   1: beaten by 0  2: front   3: equal to 2  4: front     5: dearer, worse
    points = [(1.0, 0.5), (2.0, 0.4), (2.0, 0.7), (2.0, 0.7), (9.0, 0.8), (10.0, 0.8)]
    assert pareto_front(points) == [0, 2, 4]
    assert pareto_front([]) == []
