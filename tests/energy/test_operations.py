"""Models of operations alone on a network of two layers, by hand."""

import pytest

from energy import Layer, Network, Quantised, Run, by_name
from energy.model import total

# 3 inputs, 4 neurons, 5 outputs.
TWO = Network((Layer("first", 12.0, "analog"), Layer("second", 20.0, "spikes")), {"relu": 4})
FP32, INT8 = by_name("operations"), by_name("operations-int8")


def run(synops: float, alphabet: str = "binary", t: float = 8) -> Run:
    return Run({"relu": synops / 5}, {"first": 0.0, "second": synops}, t, alphabet)


def test_fp32_by_hand() -> None:
    assert total(FP32.ann(TWO)) == pytest.approx(4.6 * 32)
    assert total(FP32.quantised(TWO, Quantised(8))) == pytest.approx(0.23 * 32)
    assert total(FP32.quantised(TWO, Quantised(3))) == pytest.approx(0.23 * 32)
    for alphabet in ("binary", "burst", "signed", "graded", "weighted"):
        assert total(FP32.spiking(TWO, run(35, alphabet))) == pytest.approx(4.6 * 12 + 0.9 * 35)
    assert total(FP32.spiking(TWO, run(35, "real"))) == pytest.approx(4.6 * 12 + 4.6 * 35)


def test_int8_by_hand() -> None:
    assert total(INT8.ann(TWO)) == pytest.approx(4.6 * 32)  # the trained network stays what it is
    assert total(INT8.quantised(TWO, Quantised(8))) == pytest.approx(0.3 * 32)
    assert total(INT8.quantised(TWO, Quantised(4))) == pytest.approx((0.1 + 0.1) * 32)
    for alphabet in ("binary", "burst", "signed", "graded", "weighted"):
        assert total(INT8.spiking(TWO, run(35, alphabet))) == pytest.approx(0.3 * 12 + 0.1 * 35)
    assert total(INT8.spiking(TWO, run(35, "real"))) == pytest.approx(0.3 * 12 + 0.3 * 35)


def test_currents_cost_their_macs_in_every_step_and_mixed_layers_both() -> None:
    network = Network((Layer("between", 100.0, "current"), Layer("both", 100.0, "mixed")), {})
    counts = Run({}, {"between": 0.0, "both": 10.0}, 8, "binary")
    assert total(FP32.spiking(network, counts)) == pytest.approx(4.6 * 100 * 8 + 4.6 * 100 + 9)
    assert total(INT8.spiking(network, counts)) == pytest.approx(0.3 * 100 * 8 + 0.3 * 100 + 1)


def test_a_spike_a_synapse_costs_the_additions_and_nothing_else() -> None:
    network = Network((Layer("only", 20.0, "spikes"),), {"relu": 4})
    once = Run({"relu": 4.0}, {"only": 20.0}, 1, "binary")
    for model, add in ((FP32, 0.9), (INT8, 0.1)):
        assert total(model.spiking(network, once)) == pytest.approx(20 * add)
    # With equal word sizes, what the quantised ANN does more is to multiply.
    more = total(INT8.quantised(network, Quantised(8))) - total(INT8.spiking(network, once))
    assert more == pytest.approx(20 * 0.2)
    assert total(FP32.ann(network)) - total(FP32.spiking(network, once)) == pytest.approx(20 * 3.7)


def test_a_layer_that_sees_the_image_costs_spiking_and_other_networks_the_same() -> None:
    network = Network((Layer("image", 20.0, "analog"),), {})
    silent = Run({}, {"image": 0.0}, 8, "binary")
    assert total(FP32.spiking(network, silent)) == total(FP32.ann(network))
    assert total(INT8.spiking(network, silent)) == total(INT8.quantised(network, Quantised(8)))


def test_zeros_are_skipped_where_a_model_is_asked_to() -> None:
    network = Network((Layer("only", 20.0, "spikes", active_macs=7.0, active_inputs=2.0),), {"relu": 4})
    assert total(FP32.ann(network, skip_zeros=True)) == pytest.approx(4.6 * 7)
    assert total(INT8.quantised(network, Quantised(8), skip_zeros=True)) == pytest.approx(0.3 * 7)
    own = Quantised(8, {"only": 5.0})
    assert total(INT8.quantised(network, own, skip_zeros=True)) == pytest.approx(0.3 * 5)
    # As much work as a network that spikes once where the ANN is not zero.
    spiking = Run({"relu": 2.0}, {"only": 7.0}, 1, "real")
    assert total(INT8.spiking(network, spiking)) == total(
        INT8.quantised(network, Quantised(8), skip_zeros=True)
    )


def test_assumptions_can_be_changed_by_name() -> None:
    assert total(by_name("operations:ac_pj=0.5").spiking(TWO, run(35))) == pytest.approx(4.6 * 12 + 17.5)
