"""The reference backend keeps channels last in memory and writes spikes in place; nothing changes by it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.neurons import Burst, IntegrateAndFire
from conversion.neurons.base import Neuron
from conversion.signals.memory import room_for
from conversion.simulation.choice import use
from conversion.simulation.pytorch.layers import TorchLayers


@pytest.mark.parametrize("neuron", [IntegrateAndFire(), Burst(1), Burst(4)], ids=repr)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_steps_in_place_are_the_steps_one_by_one(neuron, last, constant):
    torch.manual_seed(0)
    folded = torch.randn(2 if constant else 14, 6, 3, 5) + 0.4
    if last:
        folded = folded.contiguous(memory_format=torch.channels_last)
    current = folded.unflatten(0, (-1, 2))
    state = neuron.start(torch.rand(2, 6, 3, 5))
    before = state["v"].clone()
    expected, after = Neuron.scan(neuron, current, 7, state)
    spikes, found = neuron.scan(current, 7, state)
    assert torch.equal(spikes, expected)
    assert torch.equal(found["v"], after["v"])
    assert torch.equal(state["v"], before)  # left as it was
    assert torch.equal(neuron.events(spikes), Neuron.events(neuron, expected))
    assert spikes.flatten(0, 1).is_contiguous(memory_format=torch.channels_last) == last
    assert spikes.any()


@pytest.mark.parametrize("shape", [(3, 2, 5), (3, 2, 5, 4), (0, 2, 4, 3, 3), (3, 0, 4, 3, 3)])
def test_there_is_room_for_values_of_any_rank(shape):
    assert room_for(torch.ones(1, *shape[1:]), shape[0]).shape == shape


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8 * 12, 5)

    def forward(self, x):
        x = F.relu(self.first(x))
        x = F.max_pool2d(F.relu(self.second(x) + x), 2)
        return self.head(x.view(len(x), -1))


@pytest.mark.parametrize("recipe", ["opi", "burst", "snm", "tracking", "dcgs"])
def test_channels_stay_last_from_layer_to_layer(recipe, monkeypatch):
    images = torch.randn(4, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    snn = convert(Small().eval(), recipe, images)
    formats = []
    sent = TorchLayers.neuron

    def watched(self, node, name, current, steps):
        found = sent(self, node, name, current, steps)
        formats.append(found.data.is_contiguous(memory_format=torch.channels_last))
        return found

    monkeypatch.setattr(TorchLayers, "neuron", watched)
    with use("pytorch"):
        *_, last = snn.simulate(images, (5,))
    assert formats
    assert all(formats)
    assert sum(last.activity.spikes.values()) > 0
