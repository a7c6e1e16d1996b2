"""Laws of every model: affine and monotone in spikes; break-even is where both cost the same."""

from dataclasses import replace

import pytest

from energy import Layer, Network, Quantised, Run, by_name, matched_bits, models
from energy.breakeven import OPPONENTS, break_even, spikes_per_synapse
from energy.counts import levels_of
from energy.model import total

TWO = Network(
    (
        Layer("first", 2592.0, "analog", 72, 4, 72, 144, 36, (), 2000.0, 70.0),
        Layer("second", 1440.0, "spikes", 1440, 10, 144, 10, 0, ("relu",), 700.0, 70.0),
    ),
    {"relu": 144},
)
RUN = Run({"relu": 60.0}, {"first": 0.0, "second": 600.0}, 4, "signed", 5)
ALL = pytest.mark.parametrize("name", list(models()))


@ALL
def test_energy_is_affine_and_rises_with_spikes(name: str) -> None:
    model = by_name(name)
    found = [total(model.spiking(TWO, RUN.scaled(factor))) for factor in (0.0, 1.0, 2.0, 5.0)]
    assert found == sorted(set(found))
    assert found[2] - found[1] == pytest.approx(found[1] - found[0])
    assert found[3] - found[0] == pytest.approx(5 * (found[1] - found[0]))


@ALL
def test_energy_rises_with_steps_or_stays(name: str) -> None:
    model = by_name(name)
    few, many = (total(model.spiking(TWO, replace(RUN, t=t))) for t in (1, 9))
    assert few <= many


@ALL
def test_a_quantised_ann_costs_no_more_with_fewer_bits_and_less_than_the_ann(name: str) -> None:
    model = by_name(name)
    found = [total(model.quantised(TWO, Quantised(bits))) for bits in range(1, 9)]
    assert found == sorted(found)
    assert found[-1] < total(model.ann(TWO))


@ALL
def test_skipping_zeros_costs_less(name: str) -> None:
    model = by_name(name)
    for ask in (
        model.ann,
        lambda network, skip_zeros: model.quantised(network, Quantised(8), skip_zeros=skip_zeros),
    ):
        zero_heavy = replace(
            TWO, layers=tuple(replace(y, active_macs=1.0, active_inputs=1.0) for y in TWO.layers)
        )
        assert total(ask(zero_heavy, skip_zeros=True)) < total(ask(zero_heavy, skip_zeros=False))


@ALL
def test_at_break_even_both_cost_the_same(name: str) -> None:
    model, bits = by_name(name), 5
    opponents = {
        "ann": total(model.ann(TWO, skip_zeros=False)),
        "quantised": total(model.quantised(TWO, Quantised(bits), skip_zeros=False)),
        "ann-sparse": total(model.ann(TWO, skip_zeros=True)),
        "quantised-sparse": total(model.quantised(TWO, Quantised(bits), skip_zeros=True)),
    }
    found = break_even(model, TWO, RUN, bits)
    assert list(found) == list(OPPONENTS)
    for opponent, theirs in opponents.items():
        where = found[opponent]
        assert where.spikes == pytest.approx(600 / 1440)
        assert where.ratio == pytest.approx(total(model.spiking(TWO, RUN)) / theirs)
        if where.allowed is None:
            assert total(model.spiking(TWO, RUN.scaled(0.0))) >= theirs
            assert where.distance is None
            continue
        there = RUN.scaled(where.allowed / where.spikes)
        assert total(model.spiking(TWO, there)) == pytest.approx(theirs)
        assert (where.distance < 1) == (where.ratio < 1)


def test_break_even_of_operations_in_closed_form() -> None:
    only = Network((Layer("only", 100.0, "spikes"),), {"relu": 4})
    run = Run({"relu": 4.0}, {"only": 250.0}, 8, "binary")
    fp32, int8 = (break_even(by_name(name), only, run, 8) for name in ("operations", "operations-int8"))
    assert fp32["ann"].allowed == pytest.approx(4.6 / 0.9)
    assert fp32["quantised"].allowed == pytest.approx(0.23 / 0.9)
    assert int8["quantised"].allowed == pytest.approx(0.3 / 0.1)
    assert int8["quantised"].distance == pytest.approx(2.5 / 3)
    assert set(fp32) == {"ann", "quantised"}  # zeros were not counted


def test_silence_has_no_break_even() -> None:
    assert break_even(by_name("operations"), TWO, RUN.scaled(0.0), 8) == {}
    analog = Network((TWO.layers[0],), {})
    assert spikes_per_synapse(analog, RUN) is None
    assert break_even(by_name("operations"), analog, RUN, 8) == {}


def test_bits_that_match_steps() -> None:
    assert [matched_bits(levels_of("binary", 1, t)) for t in (1, 2, 3, 4, 7, 8, 64, 255, 4096)] == [
        *(1, 2, 2, 3, 3, 4, 7, 8, 8)
    ]
    assert matched_bits(levels_of("burst", 5, 3)) == 4
    assert matched_bits(levels_of("weighted", 1, 6)) == 6
    assert matched_bits(levels_of("graded", 255, 1)) == 8
