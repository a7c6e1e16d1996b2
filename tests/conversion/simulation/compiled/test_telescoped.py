"""Neurons behind telescoped functions in the kernels, against their equations in PyTorch's operations."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.functions.elementwise import Elementwise
from conversion.functions.telescope import Telescope
from conversion.neurons import Tracking
from conversion.signals.signals import Signal
from conversion.simulation.backend import Schedule
from conversion.simulation.choice import use
from conversion.simulation.compiled.layers import Summand, run_layer
from conversion.simulation.compiled.native import has_synapses, kernel
from conversion.simulation.compiled.population import Population
from conversion.simulation.compiled.schedule import BYTES, TABLES
from conversion.simulation.fused.firing import telescoped

pytestmark = pytest.mark.skipif(
    kernel() is None or not has_synapses(), reason="no kernels with synapses on this machine"
)
INSIDE = [Elementwise("relu"), Elementwise("hardtanh", (0.0, 1.5)), Elementwise("leaky_relu", (0.1,))]
STEPS = 40


@pytest.fixture(autouse=True, params=["matrix unit", "vectors"])
def multiplier(request, monkeypatch):
    """Neurons fire behind a matrix unit and behind vector instructions."""
    if request.param == "vectors":
        monkeypatch.setattr("conversion.simulation.compiled.layers.has_tiles", lambda: False)


@pytest.mark.parametrize("function", INSIDE, ids=str)
@pytest.mark.parametrize("shape", [(2, 16, 3, 5), (3, 32)])
@pytest.mark.parametrize("gamma", [1, 4])
def test_neurons_behind_a_function_fire_as_written(function, shape, gamma):
    """v += t F(mean so far) - what was; s = clamp(floor(v)); in chunks of several lengths."""
    torch.manual_seed(0)
    current = torch.linspace(1.2, -1.0, STEPS).view(-1, *[1] * len(shape)) + 3 * torch.randn(STEPS, *shape)
    neuron = Tracking(gamma)
    between = telescoped(neuron, function)
    assert between is not None
    assert between.firing.inside
    last = (shape[0], *shape[2:], shape[1])
    starts = {"v": 0.5, "ceiling": between.ceiling}
    states = [torch.full(last, starts.get(name, 0.0)) for name in between.firing.states]
    population, reference = Population(between.firing, states), Telescope()
    state = {"v": torch.full(shape, 0.5)}
    for part in current.split((7, 1, 32)):
        increments = reference.advance_elementwise(function, Signal(part.flatten(0, 1), len(part)), len(part))
        expected, state = neuron.scan(increments.timed, len(part), state)
        summand = Summand(Signal(part.flatten(0, 1), len(part)), torch.ones(shape[1]))
        fired, counts = run_layer(shape, len(part), None, [summand], population)
        assert torch.equal(fired.float().unflatten(0, (len(part), -1)), expected)
        assert torch.equal(counts, expected.abs().sum((0, 1)))
    assert float(expected.amax()) == gamma or gamma > 1
    assert torch.equal(population.states[0].movedim(-1, 1), state["v"])


def test_the_running_sum_does_not_depend_on_chunks():
    torch.manual_seed(0)
    values = torch.randn(20, 3, 4)
    whole = Telescope().advance_elementwise(torch.tanh, Signal(values.flatten(0, 1), 20), 20)
    parts = Telescope()
    pieces = [
        parts.advance_elementwise(torch.tanh, Signal(v.flatten(0, 1), len(v)), len(v))
        for v in values.split(6)
    ]
    assert torch.equal(torch.cat([piece.data for piece in pieces]), whole.data)


class Mixed(nn.Module):
    """Functions that the kernels know and others, a residual sum, a linear layer behind a mean."""

    def __init__(self, *functions):
        super().__init__()
        self.functions = functions
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.down = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.head = nn.Linear(32, 16)
        self.last = nn.Linear(16, 5)

    def forward(self, x):
        one, two, three = self.functions
        x = one(self.first(x))
        x = two(self.second(x) + x)
        x = three(self.down(x))
        return self.last(one(self.head(x.mean((2, 3)))))


FUNCTIONS = {
    "inside": (F.relu, F.relu6, lambda x: F.leaky_relu(x, 0.25)),
    "outside": (F.silu, F.gelu, F.hardswish),
    "both": (F.relu, torch.tanh, lambda x: F.hardtanh(x, -1.0, 2.0)),
}


def runs(network, images, backend, schedule=None, **options):
    snn = convert(network, {"preset": "tracking", "neuron": {"gamma": 3}}, images)
    for index, threshold in enumerate(snn.thresholds.values()):
        threshold.fill_((0.5, 0.25, 1.0)[index % 3])
    with use(backend, schedule):
        return list(snn.simulate(images, (1, 2, 5, 20), **options))


@pytest.mark.parametrize("functions", FUNCTIONS.values(), ids=list(FUNCTIONS))
@pytest.mark.parametrize("options", [{}, {"chunk": 3}, {"schedule": Schedule(4, 5, TABLES)}], ids=str)
def test_whole_networks_agree_to_the_last_spike(functions, options):
    """Short binary fractions, so that sums of currents are exact; means and functions round alike."""
    generator = torch.Generator().manual_seed(0)
    network = Mixed(*functions).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randint(-12, 16, parameter.shape, generator=generator) / 64)
    images = torch.randint(-4, 8, (4, 3, 8, 8), generator=generator) / 8
    plain, fast = runs(network, images, "pytorch"), runs(network, images, "compiled", **options)
    for ours, theirs in zip(fast, plain, strict=True):
        assert sum(theirs.activity.spikes.values()) > 0
        assert ours.activity.spikes == theirs.activity.spikes
        torch.testing.assert_close(ours.output, theirs.output, rtol=1e-5, atol=1e-5)
    kernels = fast[-1].ran.layers
    assert kernels.get(BYTES, 0) + kernels.get(TABLES, 0) == 6  # four layers of neurons, two with weights
    assert kernels["pytorch"] == 3  # the constant first layer, that behind the mean, and the last
