"""What many records share is computed once, and changes no figure."""

from __future__ import annotations

import dataclasses

import energy
from energy.counts import Function, Layer, Network

LAYERS = (Layer("fc", 10.0, "spikes"),)


def test_networks_with_the_same_counts_are_one() -> None:
    one = Network(LAYERS, {"a": 1, "b": 2}, {"f": Function("SiLU", 3.0)})
    same = Network(LAYERS, {"b": 2, "a": 1}, {"f": Function("SiLU", 3.0)})
    assert one == same
    assert len({one, same}) == 1


def test_networks_with_other_counts_are_not() -> None:
    one = Network(LAYERS, {"a": 1}, None)
    others = [
        Network((Layer("fc", 11.0, "spikes"),), {"a": 1}, None),
        Network(LAYERS, {"a": 2}, None),
        Network(LAYERS, {"a": 1}, {}),
        Network(LAYERS, {"a": 1}, {"f": Function("SiLU", 3.0)}),
    ]
    assert len({one, *others}) == 5


def test_lines_of_an_energy_add_up_line_by_line() -> None:
    names = [line.name for line in dataclasses.fields(energy.Breakdown)]
    one = energy.Breakdown(*(2.0**k for k in range(len(names))))
    other = energy.Breakdown(*(3.0**k for k in range(len(names))))
    both, thrice = one + other, one.times(3)
    for k, name in enumerate(names):
        assert getattr(both, name) == 2.0**k + 3.0**k
        assert getattr(thrice, name) == 3 * 2.0**k
    assert one.total == 2.0 ** len(names) - 1
