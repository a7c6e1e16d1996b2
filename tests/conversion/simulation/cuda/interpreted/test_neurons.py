"""Every kind of neuron in the kernel, spike by spike equal to `Neuron.scan` and `Neuron.events`."""

import pytest
import torch

from conversion.neurons import (
    Burst,
    DifferentialMultiThreshold,
    ImbalancedThreshold,
    Integer,
    IntegrateAndFire,
    MultiThreshold,
    Signed,
    SignedMultiThreshold,
    SpikeCalibrated,
    Tracking,
)
from conversion.simulation.cuda import scanning
from conversion.simulation.cuda.neurons import spiking_of
from conversion.simulation.cuda.scanning import COUNTS, MEAN, VALUES, Population, run_neurons
from conversion.simulation.cuda.signals import Addend, channels_first, channels_last

NEURONS = [
    IntegrateAndFire(),
    Burst(1),
    Burst(5),
    Integer(4),
    MultiThreshold(3),
    MultiThreshold(8),
    Signed(1, -1.0, 1),
    Signed(2, 0.0, 3),
    Signed(3, -0.25, 2),
    SpikeCalibrated(3, 2, "fix"),
    SpikeCalibrated(1, 1, "cons"),
    SpikeCalibrated(3, 0, "code"),
    ImbalancedThreshold(),
    ImbalancedThreshold(0.1),
    DifferentialMultiThreshold(4),
    DifferentialMultiThreshold(1, 1.0),
    Tracking(3),
    SignedMultiThreshold(4),
]
B, C, SIDE = 3, 5, 2
CHUNKS = (1, 3, 2)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several programs a layer, and images that take turns in one."""
    monkeypatch.setattr(scanning, "BLOCK", 16)
    monkeypatch.setattr(scanning, "PROGRAMS", 4)


def currents_for(neuron, steps, shape=(B, C, SIDE, SIDE)):
    """Currents around the largest value that is sent, of both signs."""
    return (torch.randn(steps, *shape) * 0.6 + 0.3) * neuron.max_per_step**0.5


def population_of(neuron, membrane, capped=None):
    state = neuron.start(membrane)
    if capped is not None:
        state = neuron.capped(state, capped)
    return state, Population.of(spiking_of(neuron), state, None, 1)


def run(population, current, steps, written=COUNTS, dtype=torch.float32, threshold=None):
    addend = Addend(channels_last(current.flatten(0, 1)), len(current) > 1)
    theta = torch.ones(current.shape[2]) if threshold is None else threshold
    return run_neurons([addend], None, theta, threshold is not None, population, steps, written, dtype)


@pytest.mark.parametrize("neuron", NEURONS, ids=repr)
def test_spikes_states_and_counts(neuron):
    state, population = population_of(neuron, torch.rand(B, C, SIDE, SIDE))
    for steps in CHUNKS:
        current = currents_for(neuron, steps)
        expected, state = neuron.scan(current, steps, state)
        sent, counts = run(population, current, steps, dtype=torch.int8)
        assert sent.dtype == torch.int8
        assert torch.equal(channels_first(sent).float(), expected.flatten(0, 1))
        assert torch.equal(channels_first(counts[None])[0].float(), neuron.events(expected).sum((0, 1)))
        for name, entry in zip(population.spiking.states, population.states, strict=True):
            assert torch.equal(channels_first(entry), state[name])
    assert expected.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_spikes_in_every_precision(dtype):
    neuron = Burst(5)
    state, population = population_of(neuron, torch.zeros(B, C, 2, 2))
    current = currents_for(neuron, 4, (B, C, 2, 2))
    expected, _ = neuron.scan(current, 4, state)
    sent, _ = run(population, current, 4, dtype=dtype)
    assert sent.dtype == dtype
    assert torch.equal(channels_first(sent).float(), expected.flatten(0, 1))


@pytest.mark.parametrize("neuron", [IntegrateAndFire(), Tracking(2), SpikeCalibrated(2, 1)], ids=repr)
def test_values_are_spikes_times_thresholds_to_the_last_bit(neuron):
    threshold = torch.rand(C) + 0.1
    state, population = population_of(neuron, torch.rand(B, C, SIDE, SIDE))
    current = currents_for(neuron, 5)
    theta = threshold.view(1, C, 1, 1)
    expected, _ = neuron.scan(current / theta, 5, state)
    sent, _ = run(population, current, 5, VALUES, threshold=threshold)
    assert torch.equal(channels_first(sent), (expected * theta).flatten(0, 1))


def test_the_mean_of_a_chunk():
    neuron, threshold = Burst(4), torch.rand(C) + 0.5
    state, population = population_of(neuron, torch.zeros(B, C, SIDE, SIDE))
    current = currents_for(neuron, 8) * threshold.view(C, 1, 1)
    theta = threshold.view(1, C, 1, 1)
    expected, _ = neuron.scan(current / theta, 8, state)
    sent, counts = run(population, current, 8, MEAN, threshold=threshold)
    torch.testing.assert_close(channels_first(sent), (expected * theta).mean(0))
    assert counts.sum() == expected.sum()


def test_a_current_that_does_not_change():
    neuron = Signed(2, -0.5, 1)
    state, population = population_of(neuron, torch.zeros(B, C, SIDE, SIDE))
    current = currents_for(neuron, 1)
    expected, _ = neuron.scan(current, 6, state)
    sent, _ = run(population, current, 6)
    assert torch.equal(channels_first(sent), expected.flatten(0, 1))


@pytest.mark.parametrize("count", [2, 3])
def test_addends_are_summed_in_order(count):
    """Of any precision, constant or not, with scale and shift: ((a + b) + c) + offset."""
    neuron, steps = Burst(3), 4
    state, population = population_of(neuron, torch.zeros(B, C, SIDE, SIDE))
    scale, shift = torch.rand(C) + 0.5, torch.randn(C)
    first = torch.randint(-3, 4, (steps * B, SIDE, SIDE, C), dtype=torch.int8)
    second = torch.randn(B, SIDE, SIDE, C)
    third = torch.randn(steps * B, SIDE, SIDE, C).half()
    addends = [Addend(first, True, scale), Addend(second, False), Addend(third, True, scale, shift)][:count]
    total = first * scale + second.repeat(steps, 1, 1, 1)
    if count == 3:
        total = total + (third.float() * scale + shift)
    offset = torch.randn(C)
    expected, _ = neuron.scan(channels_first(total + offset).unflatten(0, (steps, B)), steps, state)
    sent, _ = run_neurons(addends, offset, torch.ones(C), False, population, steps, COUNTS, torch.float32)
    assert torch.equal(channels_first(sent), expected.flatten(0, 1))


def test_a_factor_mutes_what_is_sent_and_what_is_counted():
    neuron = Burst(3)
    state = neuron.start(torch.zeros(B, C, SIDE, SIDE))
    factor = (torch.rand(B, C, SIDE, SIDE) > 0.5).float()
    population = Population.of(spiking_of(neuron), state, factor, 1)
    current = currents_for(neuron, 5)
    expected, _ = neuron.scan(current, 5, state)
    sent, counts = run(population, current, 5)
    assert torch.equal(channels_first(sent), (expected * factor).flatten(0, 1))
    assert counts.sum() == (expected * factor).sum()


def test_a_ceiling_bounds_differential_neurons():
    neuron = DifferentialMultiThreshold(5)
    most = torch.full((B, C, SIDE, SIDE), 6.0)
    state, population = population_of(neuron, torch.rand(B, C, SIDE, SIDE), most)
    free, _ = neuron.scan(currents_for(neuron, 6) * 3, 6, neuron.start(torch.rand(B, C, SIDE, SIDE)))
    for steps in CHUNKS:
        current = currents_for(neuron, steps) * 3
        expected, state = neuron.scan(current, steps, state)
        sent, _ = run(population, current, steps)
        assert torch.equal(channels_first(sent), expected.flatten(0, 1))
    assert free.max() > 6


@pytest.mark.parametrize("shape", [(2, 7), (2, 3, 5), (1, 2, 2, 2, 3)])
def test_layers_of_any_rank(shape):
    neuron = IntegrateAndFire()
    state, population = population_of(neuron, torch.zeros(shape))
    current = torch.rand(3, *shape)
    expected, _ = neuron.scan(current, 3, state)
    sent, counts = run(population, current, 3)
    assert torch.equal(channels_first(sent), expected.flatten(0, 1))
    assert counts.sum() == expected.sum()


def test_neurons_without_a_kernel_are_left_to_others():
    from conversion.neurons import AdaptiveThreshold, DelaySpike, TemporalWeight, TimestepCompression

    others = [AdaptiveThreshold(), DelaySpike(), TemporalWeight(), TimestepCompression()]
    others += [Integer(4, 0.5), ImbalancedThreshold((0.1, 0.2))]
    assert [spiking_of(neuron) for neuron in others] == [None] * len(others)
