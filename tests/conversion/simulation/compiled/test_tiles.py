"""Layers on the processor's matrix unit against integer arithmetic and against PyTorch's own operations."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion.neurons import Burst, DifferentialMultiThreshold, IntegrateAndFire, Signed, SpikeCalibrated
from conversion.signals.signals import Spikes
from conversion.simulation.backend import PRECISIONS
from conversion.simulation.compiled.layers import Summand, pack, run_layer
from conversion.simulation.compiled.native import has_tiles, kernel
from conversion.simulation.compiled.population import Population
from conversion.simulation.fused.firing import firing_of

pytestmark = pytest.mark.skipif(
    kernel() is None or not has_tiles(), reason="no matrix unit on this machine (AMX)"
)
LAYERS = [  # each with a size of images
    (nn.Conv2d(16, 16, 3, padding=1), (9, 7)),  # a row of the filter is less than a tile
    (nn.Conv2d(32, 48, 3, 2, 1, bias=False), (8, 8)),  # more than a tile, and what is left
    (nn.Conv2d(64, 32, 3, padding=1), (4, 5)),  # three whole tiles
    (nn.Conv2d(20, 16, (1, 3), (2, 3), (0, 2)), (5, 11)),
    (nn.Conv2d(16, 16, (5, 2), dilation=(1, 3), padding=(4, 1)), (3, 6)),  # taps apart; rows beyond the image
    (nn.Conv2d(16, 96, 1, 2), (7, 7)),
    (nn.Conv2d(512, 64, 3, padding=1), (30, 30)),  # bands of a few rows
    (nn.Linear(200, 32), ()),
]


def random_spikes(steps, images, channels, sides, low, high):
    numbers = torch.randint(low, high + 1, (steps * images, channels, *sides), dtype=torch.int8)
    spike_value = torch.ones(1, channels, *[1] * len(sides))
    return Spikes(numbers, steps, spike_value, signed=low < 0)


def exact(layer, synapses, numbers):
    """The same sums of the same integers, in double precision, where they are exact."""
    fixed = synapses.fixed
    weights = fixed.weights.double()
    if isinstance(layer, nn.Linear):
        sums = F.linear(numbers.double(), weights[:, :, 0, 0])
    else:
        sums = F.conv2d(numbers.double(), weights, None, layer.stride, layer.padding, layer.dilation)
    sides = [1] * (numbers.ndim - 2)
    return sums * fixed.scale.double().view(-1, *sides) + fixed.bias.double().view(-1, *sides)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("steps", "images", "low"), [(1, 1, 0), (3, 7, -2), (16, 2, 0), (35, 1, -1)])
@pytest.mark.parametrize(("layer", "sides"), LAYERS, ids=str)
def test_sums_are_those_of_integer_arithmetic(layer, sides, steps, images, low, precision):
    torch.manual_seed(0)
    if sides == (30, 30) and steps * images > 32:
        images = 1
    inputs = layer.weight.shape[1]
    synapses = pack(layer, torch.ones(1), torch.ones(1), precision, 2, low)
    assert synapses.tiled
    source = random_spikes(steps, images, inputs, sides, low, 2)
    shape = synapses.output_shape(source.shape)
    currents, _ = run_layer(shape, steps, (source, synapses), (), None)
    with torch.no_grad():
        expected = exact(layer, synapses, source.counts)
    # integer sums are rounded to float32 once, and once more with the bias
    torch.testing.assert_close(currents.double(), expected, rtol=2e-7, atol=2e-7)


@pytest.mark.parametrize(("steps", "images"), [(1, 17), (1, 1), (2, 1), (5, 3), (16, 2), (20, 1)])
@pytest.mark.parametrize(
    "neuron",
    [
        IntegrateAndFire(),
        Burst(3),
        Signed(3, -0.25, 2),
        SpikeCalibrated(4, 1, "code"),
        DifferentialMultiThreshold(3),
    ],
    ids=repr,
)
def test_neurons_fire_as_in_plain_operations(neuron, steps, images):
    """Two chunks; weights, thresholds and summands are short binary fractions, so currents are exact."""
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 32, 3, padding=1)
    with torch.no_grad():
        layer.weight.copy_(torch.randint(-12, 14, layer.weight.shape) / 64)
        layer.bias.copy_(torch.randint(-8, 8, layer.bias.shape) / 16)
    synapses = pack(layer, torch.ones(1), torch.ones(1), "float32", 2, -1)
    shape = [images, 32, 5, 7]
    state = neuron.start(torch.randint(0, 8, shape) / 8)
    firing = firing_of(neuron)
    last = [state[name].movedim(1, -1).clone(memory_format=torch.contiguous_format) for name in firing.states]
    population = Population(firing, last)
    for _ in range(2):
        source = random_spikes(steps, images, 16, (5, 7), -1, 2)
        other = random_spikes(steps, images, 32, (5, 7), 0, 1)
        quarter = torch.full((32,), 0.25)
        fired, counts = run_layer(shape, steps, (source, synapses), [Summand(other, quarter)], population)
        with torch.no_grad():
            current = layer(source.counts.float()) + other.counts.float() / 4
        expected, state = neuron.scan(current.unflatten(0, (steps, images)), steps, state)
        assert expected.any()
        assert torch.equal(fired.float(), expected.flatten(0, 1))
        assert torch.equal(counts, neuron.events(expected).sum((0, 1)))
