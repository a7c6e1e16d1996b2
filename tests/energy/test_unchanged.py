"""Figures of models as first published here, to the last digit: old records must not move."""

import pytest

from energy import Layer, Network, Quantised, Run, by_name
from energy.model import total

FOUR = Network(
    (
        Layer("first", 2592.0, "analog", 72, 4, 72, 144, 36, (), 2000.0, 70.0),
        Layer("second", 1440.0, "spikes", 1440, 10, 144, 10, 0, ("relu",), 700.0, 70.0),
        Layer("third", 300.0, "mixed", 300, 0, 30, 10, 0, ("relu",), 200.0, 20.0),
        Layer("fourth", 400.0, "current", 40, 4, 10, 40, 4, (), 300.0, 9.0),
    ),
    {"relu": 144},
)
# The ANN, the quantised ANN with 5 bits, then binary, signed, graded and real spikes.
FIGURES = {
    "operations": [21767.199999999997, 1088.3600000000001, 27662.28, 27662.28, 27662.28, 29960.719999999994],
    "operations-int8": [
        21767.199999999997,
        1064.7,
        1829.7200000000003,
        1829.7200000000003,
        1829.7200000000003,
        1953.9600000000005,
    ],
    "memory": [
        28173.675000000003,
        1954.2971875,
        30436.895351562496,
        30436.895351562496,
        30436.895351562496,
        32362.615351562497,
    ],
    "memory-clocked": [
        28173.675000000003,
        1954.2971875,
        30842.784023437496,
        30842.784023437496,
        30842.784023437496,
        32768.5040234375,
    ],
    "memory-reuse": [
        26196.507031250003,
        1830.724189453125,
        27782.940273437496,
        27782.940273437496,
        27782.940273437496,
        29708.660273437497,
    ],
    "memory-int8": [
        28173.675000000003,
        1952.6611534118654,
        6298.679946289063,
        6356.050608978272,
        6476.087687835694,
        9134.345727539063,
    ],
    "memory-clocked-int8": [
        28173.675000000003,
        1952.6611534118654,
        6361.795180664063,
        6419.165843353272,
        6539.202922210694,
        9197.460961914063,
    ],
    "memory-reuse-int8": [
        26196.507031250003,
        1839.2387786865236,
        6087.068007812501,
        6144.43867050171,
        6264.475749359131,
        8922.7337890625,
    ],
    "skip-zeros": [
        16351.145161437988,
        1635.3931643676756,
        28188.828945312496,
        28246.199608001705,
        28366.236686859127,
        32825.9747265625,
    ],
    "skip-zeros-int8": [
        16351.145161437988,
        1646.8589389801027,
        6150.183242187501,
        6207.55390487671,
        6327.590983734131,
        8985.8490234375,
    ],
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_networks_without_functions_stay(name: str) -> None:
    model = by_name(name)
    found = [total(model.ann(FOUR)), total(model.quantised(FOUR, Quantised(5)))]
    for alphabet in ("binary", "signed", "graded", "real"):
        run = Run({"relu": 61.7}, {"second": 603.3, "third": 17.9}, 7.5, alphabet, 5)
        found.append(total(model.spiking(FOUR, run)))
    assert found == FIGURES[name]
