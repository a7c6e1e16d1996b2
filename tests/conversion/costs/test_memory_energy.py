"""The model with memory against numbers worked by hand, and its laws."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.costs.energy import ann_energy_by_layer, ann_energy_pj, energy_by_layer, operations_energy_pj
from conversion.costs.memory_energy import (
    MEMORY_MODELS,
    Assumptions,
    Breakdown,
    access_pj,
    ann_memory_energy,
    memory_energy,
)
from conversion.costs.synapses import Connectivity, SynapticLayer

# 2 -> 4 channels, 3 x 3, on 6 x 6: 72 weights and 4 biases, 2592 MACs.
CONV = SynapticLayer("conv", 2592.0, "spikes", {"relu": torch.ones(())}, 72, 4, 72, 144, 36)
FC = SynapticLayer("fc", 1680.0, "spikes", {"relu": torch.ones(())}, 1680, 10, 168, 10)
CLOCKED, REUSE = Assumptions(membrane="clocked"), Assumptions(dense_reads="once")

# Accesses: 10 pJ x bytes / 8192 below 8 kB.
CONV_WEIGHT, CONV_INPUT, CONV_OUTPUT = 0.37109375, 0.3515625, 0.703125  # 304, 288 and 576 bytes
FC_WEIGHT, FC_INPUT, FC_OUTPUT = 8.251953125, 0.8203125, 0.048828125  # 6760, 672 and 40 bytes
QUEUE = 4.8828125  # 4000 bytes


def driven(layer: SynapticLayer, drive: str) -> SynapticLayer:
    return SynapticLayer(**(vars(layer) | {"drive": drive}))


def network_of(*layers: SynapticLayer) -> Connectivity:
    return Connectivity(layers, {"relu": 72})


def of_spikes(layer: SynapticLayer, assumptions: Assumptions, spikes=10.0, synops=300.0, t=4) -> Breakdown:
    counts = {"relu": spikes}, {layer.name: synops}
    return memory_energy(network_of(layer), *counts, t, "binary", assumptions)[layer.name]


def close(found: Breakdown, **expected: float) -> None:
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
        ann_memory_energy(network_of(CONV))["conv"],
        operations=2592 * 3.2 + 144 * 0.1,
        addressing=(72 + 144 + 36) * 0.1,
        weights=(2592 + 144) * CONV_WEIGHT,
        inputs_outputs=2592 * CONV_INPUT + 144 * CONV_OUTPUT,
        membrane=0.0,
    )


def test_dense_linear_layer_by_hand() -> None:
    close(
        ann_memory_energy(network_of(FC))["fc"],
        operations=1680 * 3.2 + 10 * 0.1,
        addressing=(168 + 10) * 0.1,
        weights=1690 * FC_WEIGHT,
        inputs_outputs=168 * FC_INPUT + 10 * FC_OUTPUT,
        membrane=0.0,
    )


def test_a_dense_layer_that_reads_everything_once() -> None:
    close(
        ann_memory_energy(network_of(CONV), REUSE)["conv"],
        operations=8308.8,
        addressing=25.2,
        weights=76 * CONV_WEIGHT,
        inputs_outputs=72 * CONV_INPUT + 144 * CONV_OUTPUT,
        membrane=0.0,
    )


def test_spiking_convolution_by_hand() -> None:
    common = {
        "operations": 300 * 0.1 + 4 * 144 * 0.1,
        "addressing": 300 * 0.1 + 10 * 2 * 3.2,
        "inputs_outputs": 10 * QUEUE,
    }
    close(
        of_spikes(CONV, Assumptions()),
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
        of_spikes(FC, Assumptions(), synops=100.0),
        operations=100 * 0.1 + 4 * 10 * 0.1,
        addressing=100 * 0.1,
        weights=110 * FC_WEIGHT,
        inputs_outputs=10 * QUEUE,
        membrane=2 * 110 * FC_OUTPUT,
    )


@pytest.mark.parametrize(("drive", "runs"), [("analog", 1), ("current", 4)])
@pytest.mark.parametrize(("assumptions", "clocked"), [(Assumptions(), False), (CLOCKED, True)])
def test_layers_without_spikes_run_densely_and_move_membranes_in_every_step(
    drive: str, runs: int, assumptions: Assumptions, clocked: bool
) -> None:
    close(
        of_spikes(driven(CONV, drive), assumptions, synops=0.0),
        operations=runs * 8308.8 + 4 * 144 * 0.1,
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
        operations=analog.operations + 300 * 0.1,
        addressing=analog.addressing + 300 * 0.1 + 10 * 6.4,
        weights=analog.weights + 300 * CONV_WEIGHT,  # biases once, with the image
        inputs_outputs=analog.inputs_outputs + 10 * QUEUE,
        membrane=analog.membrane + 2 * 300 * CONV_OUTPUT,
    )


def test_real_numbers_cost_a_multiplication_a_synaptic_operation() -> None:
    counts = {"relu": 10.0}, {"conv": 300.0}
    binary, real = (memory_energy(network_of(CONV), *counts, 4, name)["conv"] for name in ("binary", "real"))
    assert real.operations == pytest.approx(binary.operations + 300 * 3.1)
    assert real.total == pytest.approx(binary.total + 300 * 3.1)


def test_sending_a_spike_costs_its_neuron_a_reset_and_a_write() -> None:
    found = memory_energy(network_of(FC), {"relu": 10.0}, {}, 4, "burst")
    assert list(found) == ["fc", "relu"]
    close(found["relu"], operations=1.0, addressing=0.0, weights=0.0, inputs_outputs=10 * QUEUE, membrane=0.0)


def test_silence_costs_no_synaptic_energy() -> None:
    without_bias = SynapticLayer(**(vars(CONV) | {"biases": 0}))
    updates = 7 * 144 * 0.1  # every neuron asks itself in every step
    for assumptions, membrane in ((Assumptions(), 0.0), (CLOCKED, 2 * 7 * 144 * CONV_OUTPUT)):
        found = of_spikes(without_bias, assumptions, spikes=0.0, synops=0.0, t=7)
        zeros = {"addressing": 0.0, "weights": 0.0, "inputs_outputs": 0.0}
        close(found, operations=updates, membrane=membrane, **zeros)


def test_the_quantised_ann_runs_once_with_values_a_quarter_as_wide() -> None:
    for t in (1, 64):
        found = memory_energy(network_of(CONV), {}, {}, t, "none")
        assert list(found) == ["conv"]
        close(
            found["conv"],
            operations=2592 * 0.23 + 144 * 0.03,
            addressing=25.2,
            weights=2736 * CONV_WEIGHT / 16,  # a quarter of a word, in a quarter of the memory
            inputs_outputs=(2592 * CONV_INPUT + 144 * CONV_OUTPUT) / 16,
            membrane=0.0,
        )


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2, groups=2)
        self.up, self.head = nn.ConvTranspose2d(6, 3, 2, bias=False), nn.Linear(27, 5)

    def forward(self, x):
        x = F.relu(self.second(F.relu(self.first(x))))
        x = F.relu(F.conv_transpose2d(x, self.up.weight))
        return F.linear(x.flatten(1), self.head.weight, self.head.bias)


def test_sizes_of_layers() -> None:
    images = torch.randn(4, 2, 6, 6)
    layers = convert(Net(), "opi", images).connectivity(images).layers
    found = [(y.weights, y.biases, y.inputs, y.outputs, y.taps) for y in layers]
    assert found == [
        (72, 4, 72, 144, 36),
        (6 * 2 * 9, 6, 144, 6 * 4, 54),
        (6 * 3 * 4, 0, 24, 27, 12),
        (135, 5, 27, 5, 0),
    ]


def test_totals_are_sums_and_the_operations_model_is_its_own() -> None:
    images = torch.randn(4, 2, 6, 6)
    snn = convert(Net(), "burst", images)
    wiring = snn.connectivity(images)
    (readout,) = snn.simulate(images, (5,))
    spikes, synops = readout.activity.spikes, readout.activity.synops
    by_model = energy_by_layer(wiring, spikes, synops, 5, "burst")
    assert list(by_model) == list(ann_energy_by_layer(wiring)) == ["operations", *MEMORY_MODELS]
    assert sum(by_model["operations"].values()) == operations_energy_pj(wiring, synops, 5, "burst")
    assert sum(ann_energy_by_layer(wiring)["operations"].values()) == pytest.approx(ann_energy_pj(wiring))
    for model, assumptions in MEMORY_MODELS.items():
        breakdowns = memory_energy(wiring, spikes, synops, 5, "burst", assumptions)
        assert set(breakdowns) == {layer.name for layer in wiring.layers} | set(spikes)
        for name, breakdown in breakdowns.items():
            assert by_model[model][name] == sum(vars(breakdown).values()) > 0
