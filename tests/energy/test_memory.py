"""The models with memory against numbers worked by hand, and their laws."""

from dataclasses import replace

import pytest

from energy import Breakdown, Layer, Network, NotMeasured, Quantised, Run, by_name
from energy.horowitz import access_pj
from energy.memory import MemoryModel

# 2 -> 4 channels, 3 x 3, on 6 x 6: 72 weights and 4 biases, 2592 MACs.
CONV = Layer("conv", 2592.0, "spikes", 72, 4, 72, 144, 36, ("relu",), 1000.0, 30.0)
FC = Layer("fc", 1680.0, "spikes", 1680, 10, 168, 10, 0, ("relu",), 500.0, 50.0)
MEMORY, CLOCKED, REUSE = (by_name(f"memory{form}") for form in ("", "-clocked", "-reuse"))

# Accesses: 10 pJ x bytes / 8192 below 8 kB.
CONV_WEIGHT, CONV_INPUT, CONV_OUTPUT = 0.37109375, 0.3515625, 0.703125  # 304, 288 and 576 bytes
FC_WEIGHT, FC_INPUT, FC_OUTPUT = 8.251953125, 0.8203125, 0.048828125  # 6760, 672 and 40 bytes
QUEUE = 4.8828125  # 4000 bytes


def driven(layer: Layer, drive: str) -> Layer:
    return replace(layer, drive=drive)


def network_of(*layers: Layer) -> Network:
    return Network(layers, {"relu": 72})


def of_spikes(
    layer: Layer, model: MemoryModel, spikes=10.0, synops=300.0, t=4, alphabet="binary"
) -> Breakdown:
    run = Run({"relu": spikes}, {layer.name: synops}, t, alphabet)
    return model.spiking(network_of(layer), run)[layer.name]


def close(found: Breakdown, **expected: float) -> None:
    expected = {"neurons": 0.0, "functions": 0.0, **expected}
    assert vars(found) == pytest.approx(expected)
    assert found.total == pytest.approx(sum(expected.values()))


@pytest.mark.parametrize(
    ("size", "energy"),
    [
        (0, 0.0),
        (2048, 2.5),
        (8192, 10.0),
        (20480, 15.0),
        (32768, 20.0),
        (32768 + 253952, 40.0),  # a quarter of the way to 1 MB
        (1048576, 100.0),
        (50_000_000, 100.0),
    ],
)
def test_an_access_costs_more_in_a_larger_memory(size: int, energy: float) -> None:
    assert access_pj(size) == pytest.approx(energy)


def test_dense_convolution_by_hand() -> None:
    close(
        MEMORY.ann(network_of(CONV))["conv"],
        operations=2592 * 3.2 + 144 * 0.1,
        addressing=(72 + 144 + 36) * 0.1,
        weights=(2592 + 144) * CONV_WEIGHT,
        inputs_outputs=2592 * CONV_INPUT + 144 * CONV_OUTPUT,
        membrane=0.0,
    )


def test_dense_linear_layer_by_hand() -> None:
    close(
        MEMORY.ann(network_of(FC))["fc"],
        operations=1680 * 3.2 + 10 * 0.1,
        addressing=(168 + 10) * 0.1,
        weights=1690 * FC_WEIGHT,
        inputs_outputs=168 * FC_INPUT + 10 * FC_OUTPUT,
        membrane=0.0,
    )


def test_a_dense_layer_that_reads_everything_once() -> None:
    close(
        REUSE.ann(network_of(CONV))["conv"],
        operations=8308.8,
        addressing=25.2,
        weights=76 * CONV_WEIGHT,
        inputs_outputs=72 * CONV_INPUT + 144 * CONV_OUTPUT,
        membrane=0.0,
    )


def test_spiking_convolution_by_hand() -> None:
    common = {
        "neurons": 4 * 144 * 0.1,
        "operations": 300 * 0.1,
        "addressing": 300 * 0.1 + 10 * 2 * 3.2,
        "inputs_outputs": 10 * QUEUE,
    }
    close(
        of_spikes(CONV, MEMORY),
        **common,
        weights=(300 + 144) * CONV_WEIGHT,
        membrane=2 * (300 + 144) * CONV_OUTPUT,
    )
    close(
        of_spikes(CONV, CLOCKED),
        **common,
        weights=(300 + 4 * 144) * CONV_WEIGHT,
        membrane=2 * 4 * 144 * CONV_OUTPUT,
    )


def test_spiking_linear_layer_by_hand() -> None:
    close(
        of_spikes(FC, MEMORY, synops=100.0),
        neurons=4 * 10 * 0.1,
        operations=100 * 0.1,
        addressing=100 * 0.1,
        weights=110 * FC_WEIGHT,
        inputs_outputs=10 * QUEUE,
        membrane=2 * 110 * FC_OUTPUT,
    )


@pytest.mark.parametrize(("drive", "runs"), [("analog", 1), ("current", 4)])
@pytest.mark.parametrize(("model", "clocked"), [(MEMORY, False), (CLOCKED, True)])
def test_layers_without_spikes_run_densely_and_move_membranes_in_every_step(
    drive: str, runs: int, model: MemoryModel, clocked: bool
) -> None:
    close(
        of_spikes(driven(CONV, drive), model, synops=0.0),
        neurons=4 * 144 * 0.1,
        operations=runs * 8308.8,
        addressing=runs * 25.2,
        weights=runs * 2736 * CONV_WEIGHT,
        inputs_outputs=runs * (2592 * CONV_INPUT + 144 * CONV_OUTPUT) + 4 * 144 * CONV_OUTPUT,
        membrane=2 * 4 * 144 * CONV_OUTPUT,
    )


def test_a_mixed_layer_pays_for_the_image_and_for_the_spikes() -> None:
    mixed, analog = (
        of_spikes(driven(CONV, "mixed"), REUSE),
        of_spikes(driven(CONV, "analog"), REUSE, synops=0),
    )
    close(
        mixed,
        neurons=analog.neurons,
        operations=analog.operations + 300 * 0.1,
        addressing=analog.addressing + 300 * 0.1 + 10 * 6.4,
        weights=analog.weights + 300 * CONV_WEIGHT,  # biases once, with the image
        inputs_outputs=analog.inputs_outputs + 10 * QUEUE,
        membrane=analog.membrane + 2 * 300 * CONV_OUTPUT,
    )


def test_real_numbers_cost_a_multiplication_a_synaptic_operation() -> None:
    for name, multiply in (("memory", 3.1), ("memory-int8", 0.2)):
        binary, real = (of_spikes(CONV, by_name(name), alphabet=each) for each in ("binary", "real"))
        assert real.operations == pytest.approx(binary.operations + 300 * multiply)
    binary, real = (of_spikes(CONV, MEMORY, alphabet=each) for each in ("binary", "real"))
    assert real.total == pytest.approx(binary.total + 300 * 3.1)  # the 32-bit form moves no payload


def test_sending_a_spike_costs_its_neuron_a_reset_and_a_write() -> None:
    found = MEMORY.spiking(network_of(FC), Run({"relu": 10.0}, {}, 4, "burst"))
    assert list(found) == ["fc", "relu"]
    nothing = {"operations": 0.0, "addressing": 0.0, "weights": 0.0, "membrane": 0.0}
    close(found["relu"], neurons=1.0, inputs_outputs=10 * QUEUE, **nothing)


def test_silence_costs_no_synaptic_energy() -> None:
    without_bias = replace(CONV, biases=0)
    updates = 7 * 144 * 0.1  # every neuron asks itself in every step
    for model, membrane in ((MEMORY, 0.0), (CLOCKED, 2 * 7 * 144 * CONV_OUTPUT)):
        found = of_spikes(without_bias, model, spikes=0.0, synops=0.0, t=7)
        zeros = {"operations": 0.0, "addressing": 0.0, "weights": 0.0, "inputs_outputs": 0.0}
        close(found, neurons=updates, membrane=membrane, **zeros)


def test_the_quantised_ann_of_the_32_bit_form_is_in_bytes() -> None:
    for bits in (1, 8):
        close(
            MEMORY.quantised(network_of(CONV), Quantised(bits))["conv"],
            operations=2592 * 0.23 + 144 * 0.03,
            addressing=25.2,
            weights=2736 * CONV_WEIGHT / 16,  # a quarter of a word, in a quarter of the memory
            inputs_outputs=(2592 * CONV_INPUT + 144 * CONV_OUTPUT) / 16,
            membrane=0.0,
        )


def test_the_quantised_ann_of_the_8_bit_form_has_the_bits_it_needs() -> None:
    size = 72 + 4 * 4  # bytes of weights and biases
    weight = 10 * size / 8192 / 4  # an access to 8 bits
    close(
        by_name("memory-int8").quantised(network_of(CONV), Quantised(4))["conv"],
        operations=2592 * (0.1 + 0.1) + 144 * 0.1,
        addressing=25.2,
        weights=2592 * weight + 144 * 4 * weight,
        inputs_outputs=(2592 * CONV_INPUT + 144 * CONV_OUTPUT) / 64,  # an eighth, in an eighth
        membrane=0.0,
    )


def test_a_spiking_layer_with_8_bit_weights() -> None:
    size = 72 + 4 * 4
    weight = 10 * size / 8192 / 4
    close(
        of_spikes(CONV, by_name("memory-int8")),
        neurons=4 * 144 * 0.1,
        operations=300 * 0.1,
        addressing=300 * 0.1 + 10 * 2 * 3.2,
        weights=300 * weight + 144 * 4 * weight,
        inputs_outputs=10 * QUEUE,
        membrane=2 * (300 + 144) * CONV_OUTPUT,
    )
    half = of_spikes(CONV, by_name("memory-int8:membrane_bits=16"))
    assert half.membrane == pytest.approx(2 * (300 + 144) * CONV_OUTPUT / 4)  # half the bits, half the memory


@pytest.mark.parametrize(
    ("alphabet", "most", "bits"),
    [
        ("binary", 1, 0),
        ("burst", 5, 0),
        ("weighted", 1, 0),
        ("signed", 5, 1),
        ("graded", 255, 4),  # eight powers and a sign
        ("graded", 128, 4),
        ("graded", 4, 3),
        ("real", 1, 32),
    ],
)
def test_an_event_pays_for_what_it_carries(alphabet: str, most: int, bits: int) -> None:
    run = Run({"relu": 10.0}, {"conv": 300.0}, 4, alphabet, most)
    assert run.payload_bits == bits
    wide = (32 + bits) / 32
    for name, factor in (("memory", 1.0), ("memory-int8", wide**2), ("skip-zeros", wide**2)):
        if wide**2 * 4000 < 8192:
            sent = by_name(name).spiking(network_of(CONV), run)["relu"]
            assert sent.inputs_outputs == pytest.approx(10 * QUEUE * factor)


@pytest.mark.parametrize("form", ["", "-clocked", "-reuse"])
def test_the_width_of_an_access_is_an_assumption(form: str) -> None:
    narrow, wide = by_name(f"memory{form}"), by_name(f"memory{form}:access_bits=64")
    for one, other in (
        (narrow.ann(network_of(CONV))["conv"], wide.ann(network_of(CONV))["conv"]),
        (of_spikes(CONV, narrow), of_spikes(CONV, wide)),
    ):
        for line in ("weights", "inputs_outputs", "membrane"):
            assert getattr(other, line) == pytest.approx(getattr(one, line) / 2)
        for line in ("neurons", "operations", "addressing"):
            assert getattr(other, line) == getattr(one, line)


def test_an_ann_that_skips_zeros_by_hand() -> None:
    close(
        by_name("skip-zeros").ann(network_of(CONV))["conv"],
        operations=1000 * 3.2 + 144 * 0.1,
        addressing=(30 + 144 + 36) * 0.1 + 30 * 2 * 3.2,
        weights=76 * CONV_WEIGHT,
        inputs_outputs=30 * CONV_INPUT + 144 * CONV_OUTPUT + 72 * 10 * 9 / 8192 / 32,  # a bit an input
        membrane=0.0,
    )
    close(
        by_name("skip-zeros").ann(network_of(FC))["fc"],
        operations=500 * 3.2 + 10 * 0.1,
        addressing=(50 + 10) * 0.1,
        weights=(500 + 10) * FC_WEIGHT,  # weights of zeros are not read
        inputs_outputs=50 * FC_INPUT + 10 * FC_OUTPUT + 168 * 10 * 21 / 8192 / 32,
        membrane=0.0,
    )


def test_zeros_of_the_quantised_ann_are_its_own() -> None:
    model, network = by_name("skip-zeros-int8"), network_of(CONV)
    own = model.quantised(network, Quantised(8, {"conv": 900.0}, {"conv": 20.0}))["conv"]
    anns = model.quantised(network, Quantised(8))["conv"]
    assert own.operations == pytest.approx(900 * 0.3 + 14.4)
    assert anns.operations == pytest.approx(1000 * 0.3 + 14.4)


@pytest.mark.parametrize("missing", ["weights", "biases", "inputs", "outputs", "taps", "sources"])
def test_a_missing_count_is_named(missing: str) -> None:
    what = {"taps": "kernel taps"}.get(missing, missing)
    layer = replace(CONV, **{missing: None})
    ask = (lambda: MEMORY.ann(network_of(layer))) if missing == "inputs" else lambda: of_spikes(layer, MEMORY)
    with pytest.raises(NotMeasured, match=f"{what} of layer 'conv' were not counted"):
        ask()


def test_zeros_that_nobody_counted_are_no_zeros() -> None:
    for missing in ("active_macs", "active_inputs"):
        network = network_of(replace(CONV, **{missing: None}))
        with pytest.raises(NotMeasured, match="not zero of layer 'conv'"):
            by_name("skip-zeros").ann(network)
        by_name("memory").ann(network)
