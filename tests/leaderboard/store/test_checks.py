from collections.abc import Callable

import pytest

from leaderboard.records.record import Outcomes, Record
from leaderboard.scores.proportions import encode_outcomes
from leaderboard.store.checks import inconsistency

Make = Callable[..., Record]


def test_a_sound_record_has_no_contradiction(make: Make) -> None:
    assert inconsistency(make()) is None
    assert inconsistency(make(count=None)) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"metric": "miou"}, "ann.metrics lacks the ranking metric 'miou'"),
        ({"sources": []}, "t=1 has rates of layers that are no source: ['large', 'pool', 'small']"),
        ({"t_before": -1}, None),
    ],
)
def test_contradictions_are_named(make: Make, change: dict[str, object], reason: str | None) -> None:
    if reason is None:  # t_total below t; t=1 would break the schema first
        record = make({2: 0.5}, **change)
        assert inconsistency(record) == "curve at t=2 has t_total=1, fewer steps than it averages"
    else:
        found = inconsistency(make(**change))
        assert found is not None
        assert reason in found


def test_only_exits_may_run_fewer_steps_than_are_averaged(make: Make) -> None:
    exits = make({8: 0.5}, t_before=-2.6, method_parts={"exit": {"name": "entropy"}})
    assert inconsistency(exits) is None
    stays = make({8: 0.5}, t_before=-2.6, method_parts={"exit": {"name": "none"}})
    assert inconsistency(stays) == "curve at t=8 has t_total=5.4, fewer steps than it averages"


def test_averaged_steps_are_some_of_those_run(make: Make) -> None:
    def with_averaged(averaged: int) -> str | None:
        record = make({8: 0.5})
        points = [point.model_copy(update={"averaged": averaged}) for point in record.curve]
        return inconsistency(record.model_copy(update={"curve": points}))

    assert with_averaged(4) is None
    assert with_averaged(9) == "curve at t=8 averages 9 output steps, more than t"


def test_a_readout_without_the_metric_is_named(make: Make) -> None:
    record = make({1: 0.5, 2: 0.6}, count=None)
    broken = record.curve[1].model_copy(update={"metrics": {"kl": 0.1}})
    found = inconsistency(record.model_copy(update={"curve": [record.curve[0], broken]}))
    assert found == "curve at t=2 lacks the ranking metric 'top1'"


def test_the_same_readout_twice_is_named(make: Make) -> None:
    record = make({1: 0.5}, count=None)
    found = inconsistency(record.model_copy(update={"curve": record.curve * 2}))
    assert found == "curve has the same t twice: [1, 1]"


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ({"ann": "AAAA"}, "outcomes.ann: outcomes of 8 images need 1 bytes, got 3"),
        ({"at": {7: "AA=="}}, "outcomes.at has t=7, which the curve did not measure"),
        ({"count": 0}, "outcomes.count must be at least 1, got 0"),
        (
            {"at": {1: encode_outcomes([1, 1, 1, 1, 1, 0, 0, 0])}},
            "outcomes.at[1] average to 0.625000, but top1 is stated as 0.500000",
        ),
        ({"measure": "top5"}, "outcomes.ann measures 'top5', which has no stated value there"),
    ],
)
def test_outcomes_must_agree_with_the_curve(make: Make, outcomes: dict[str, object], reason: str) -> None:
    half = encode_outcomes([1, 1, 1, 1, 0, 0, 0, 0])
    sound = Outcomes(measure="top1", count=8, ann=half, at={1: half})
    record = make({1: 0.5}, ann=0.5, outcomes=sound)
    assert inconsistency(record) is None
    assert inconsistency(record.model_copy(update={"outcomes": sound.model_copy(update=outcomes)})) == reason


def test_energies_of_layers_must_add_up(make: Make) -> None:
    def with_layers(layers: dict[str, dict[str, float]]) -> str | None:
        record = make({1: 0.5}, pj_per_step=100.0)
        point = record.curve[0].model_copy(update={"energy_layers_pj": layers})
        return inconsistency(record.model_copy(update={"curve": [point]}))

    assert with_layers({"operations": {"fc": 60.0, "relu": 40.00001}}) is None
    found = with_layers({"operations": {"fc": 60.0}})
    assert found == "curve at t=1: operations energies of layers add up to 60, not 100.0"
    found = with_layers({"memory": {"fc": 60.0}})
    assert found == "curve at t=1: memory energies of layers add up to 60, not None"
