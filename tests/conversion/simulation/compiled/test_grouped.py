"""Depthwise and grouped layers in the kernels, within whole networks."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.simulation.backend import Schedule
from conversion.simulation.choice import use
from conversion.simulation.compiled.native import has_synapses, kernel
from conversion.simulation.compiled.schedule import BYTES, TABLES, by_rule

pytestmark = pytest.mark.skipif(
    kernel() is None or not has_synapses(), reason="no kernels with synapses on this machine"
)


class Inverted(nn.Module):
    """Widen, depthwise, narrow, add: currents that no neuron follows between."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.deep = nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16)
        self.narrow = nn.Conv2d(16, 10, 1)
        self.widen = nn.Conv2d(10, 32, 1)
        self.deeper = nn.Conv2d(32, 32, 5, padding=2, groups=32, bias=False)
        self.back = nn.Conv2d(32, 10, 1)
        self.out = nn.Conv2d(10, 16, 1)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = self.narrow(F.relu(self.deep(F.relu(self.first(x)))))
        x = x + self.back(F.relu6(self.deeper(F.relu6(self.widen(x)))))
        return self.head(F.relu(self.out(x)).mean((2, 3)))


class Shuffled(nn.Module):
    """Groups of 4, 8 and 16 channels, a shuffle between them, halves that take different ways."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.four, self.eight = nn.Conv2d(32, 64, 3, 2, 1, groups=8), nn.Conv2d(64, 64, 1, groups=8)
        self.side = nn.Conv2d(32, 32, 3, padding=1, groups=2, bias=False)
        self.odd = nn.Conv2d(64, 36, 3, groups=4)
        self.head = nn.Linear(36, 5)

    def forward(self, x):
        x = F.relu(self.four(F.relu(self.first(x))))
        x = F.relu(self.eight(x.view(len(x), 8, 8, x.size(2), x.size(3)).transpose(1, 2).flatten(1, 2)) + x)
        left, right = x.chunk(2, 1)
        x = torch.cat([left, F.relu(self.side(right))], 1)
        return self.head(F.relu(self.odd(x)).mean((2, 3)))


def short_fractions(network):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randint(-10, 16, parameter.shape, generator=generator) / 64)
    return network.eval()


def spikes_by(network, recipe, images, backend, schedule=None):
    snn = convert(network, recipe, images)
    for index, threshold in enumerate(snn.thresholds.values()):
        threshold.fill_((0.5, 2.0, 1.0)[index % 3])
    with use(backend, schedule):
        return list(snn.simulate(images, (1, 3, 20)))


def assert_same_spikes(fast, plain):
    for ours, theirs in zip(fast, plain, strict=True):
        assert sum(theirs.activity.spikes.values()) > 0
        assert ours.activity.spikes == theirs.activity.spikes
        torch.testing.assert_close(ours.output, theirs.output, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("recipe", ["percentile", "burst", "hmt", "tracking"])
@pytest.mark.parametrize("schedule", [None, Schedule(2, 5, BYTES), Schedule(3, 7, TABLES)], ids=str)
def test_grouped_networks_agree_with_plain_operations_to_the_last_spike(recipe, schedule):
    images = torch.randint(-4, 8, (3, 3, 9, 8), generator=torch.Generator().manual_seed(1)) / 8
    network = short_fractions(Shuffled())
    if recipe == "hmt" and schedule is not None and schedule.kernel == TABLES:
        pytest.skip("such large spikes do not run in tables")
    fast = spikes_by(network, recipe, images, "compiled", schedule)
    plain = spikes_by(network, recipe, images, "pytorch")
    assert_same_spikes(fast, plain)
    ran = fast[-1].ran.layers
    assert ran[BYTES] + ran.get(TABLES, 0) >= 3


@pytest.mark.parametrize("recipe", ["opi", "burst", "snm", "dcgs", "tracking"])
@pytest.mark.parametrize("schedule", [None, Schedule(2, 5, BYTES), Schedule(3, 7, TABLES)], ids=str)
def test_depthwise_networks_agree_with_plain_operations_to_the_last_spike(recipe, schedule):
    images = torch.randint(-4, 8, (3, 3, 9, 8), generator=torch.Generator().manual_seed(1)) / 8
    network = short_fractions(Inverted())
    if recipe == "dcgs" and schedule is not None and schedule.kernel == TABLES:
        pytest.skip("levels do not run in tables")
    fast = spikes_by(network, recipe, images, "compiled", schedule)
    plain = spikes_by(network, recipe, images, "pytorch")
    assert_same_spikes(fast, plain)
    assert fast[-1].ran.layers["pytorch"] == 4  # the first layer, two on currents, and the head
    assert fast[-1].ran.layers[BYTES] >= 2


def test_networks_with_depthwise_layers_stay_in_bytes():
    images = torch.rand(4, 3, 9, 8)
    snn = convert(Inverted().eval(), "opi", images)
    assert by_rule(snn.fitted, images, 16, "int16").kernel == BYTES
