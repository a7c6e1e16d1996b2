"""Layers fire step by step, in blocks and in place; to the last bit they send what whole chunks give."""

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.functions.elementwise import Elementwise
from conversion.functions.telescope import Telescope
from conversion.neurons import Burst, DifferentialMultiThreshold, IntegrateAndFire, Signed, SpikeCalibrated
from conversion.neurons.tracking import Tracking
from conversion.plan.layer import SpikingLayer
from conversion.signals.signals import Signal
from conversion.simulation.backend import Schedule
from conversion.simulation.choice import use
from conversion.simulation.pytorch import stepping
from conversion.simulation.pytorch.layers import TorchLayers

NEURONS = [
    IntegrateAndFire(),
    Burst(3),
    Signed(),
    Tracking(2),
    DifferentialMultiThreshold(3),
    SpikeCalibrated(2, 3, "fix"),
]
LEAKY = Elementwise("leaky_relu", (0.1,))  # the same to the last bit wherever values lie in memory
STEPS = 6


def layer_of(neuron, by_channel: bool, offset: bool) -> SpikingLayer:
    threshold = torch.rand(1, 6, 1, 1) + 0.3 if by_channel else torch.full((1, 1, 1, 1), 0.7)
    moved = torch.randn(1, 6, 1, 1) * 0.1 if offset else None
    return SpikingLayer(neuron, threshold, torch.full((1, 1, 1, 1), 0.5), moved, ceiling=2.0)


def by_chunks(layer, current, steps, function):
    """Sent values, membranes and events of two chunks, each operation on a whole one."""
    telescope, state, found = Telescope(), layer.start(current[0]), []
    for part in (current[:steps], current[steps:]) if len(current) > 1 else (current, current):
        received = part
        if function is not None:
            folded = Signal(part.flatten(0, 1), len(part))
            received = telescope.advance_elementwise(function, folded, steps).timed
        driven = (received if layer.offset is None else received + layer.offset) / layer.threshold
        spikes, state = layer.neuron.scan(driven, steps, state)
        found.append((spikes * layer.threshold, state["v"].clone(), layer.neuron.events(spikes).sum(0)))
    return found


@pytest.mark.parametrize("neuron", NEURONS, ids=repr)
@pytest.mark.parametrize("function", [None, LEAKY], ids=str)
@pytest.mark.parametrize("images_in_block", [0.1, 1, 2, 3, 40])
@pytest.mark.parametrize("kind", ["timed", "constant", "over"])
def test_steps_are_chunks(neuron, function, images_in_block, kind, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(stepping, "BLOCK_BYTES", int(images_in_block * 6 * 15 * 4))
    layer = layer_of(neuron, by_channel=kind == "timed", offset=kind != "timed")
    folded = torch.randn((5 if kind == "constant" else 10 * STEPS), 6, 3, 5) + 0.4
    current = folded.contiguous(memory_format=torch.channels_last).unflatten(0, (-1, 5))
    expected = by_chunks(layer, current.clone(), STEPS, function)
    before, state = current.clone(), layer.start(current[0])
    telescope = None if function is None else (Telescope(), function)
    parts = (current, current) if kind == "constant" else (current[:STEPS], current[STEPS:])
    for part, (values, membrane, events) in zip(parts, expected, strict=True):
        begun = {key: entry.clone() for key, entry in state.items()}
        sent = stepping.send(layer, part, STEPS, state, telescope, counts=True, over=kind == "over")
        assert torch.equal(sent.values, values)
        assert torch.equal(sent.state["v"], membrane)
        assert torch.equal(sent.events, events)
        assert all(torch.equal(state[key], entry) for key, entry in begun.items())  # left as it was
        assert sent.values.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
        assert values.any()
        state = sent.state
    assert torch.equal(current, before) == (kind != "over")


def test_nothing_is_counted_unless_asked():
    layer = layer_of(Burst(2), by_channel=False, offset=False)
    current = torch.ones(3, 2, 6, 1, 1)
    assert stepping.send(layer, current, 3, layer.start(current[0]), None, False, False).events is None


class Shared(nn.Module):
    """Currents that two layers of neurons read, that are views, constant, or added to."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.third, self.head = nn.Conv2d(4, 4, 1), nn.Linear(4 * 20, 3)

    def forward(self, x):
        constant = self.first(x)
        x = F.relu(constant) + F.relu(constant + 0.5)
        current = self.second(x)
        x = F.relu(current) + F.relu(operator.neg(current)) + constant
        current = self.third(x)
        return self.head(torch.cat([F.relu(current.flatten(1))], 1)) + current.mean((2, 3))[:, :3]


@pytest.mark.parametrize("recipe", ["opi", "snm", "tracking", "dcgs", "spicalib"])
@pytest.mark.parametrize("chunk", [1, 3, 16])
def test_a_network_sends_what_it_does_in_chunks(recipe, chunk, monkeypatch):
    torch.manual_seed(0)
    images = torch.randn(5, 3, 4, 5)
    snn = convert(Shared().eval(), recipe, images)
    with use("pytorch", Schedule(2, chunk, "pytorch")):
        monkeypatch.setattr(stepping, "can_step", lambda *_: False)
        expected = list(snn.simulate(images, (2, 9)))
        monkeypatch.undo()
        monkeypatch.setattr(stepping, "BLOCK_BYTES", 4 * 80)  # one image
        found = list(snn.simulate(images, (2, 9)))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.output, other.output, rtol=1e-6, atol=1e-6)
        assert one.activity.spikes == other.activity.spikes
        assert sum(one.activity.spikes.values()) > 0


@pytest.mark.parametrize("recipe", ["opi", "tracking"])
@pytest.mark.parametrize(("batch", "chunk"), [(1, 16), (1, 1), (3, 4)])
def test_channels_are_last_for_any_batch(recipe, batch, chunk, monkeypatch):
    """A single image has strides that torch may take for channels first; pools by a gate gather."""
    network = nn.Sequential(
        *(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
        ),
        *(nn.Flatten(), nn.Linear(8 * 12, 5)),
    )
    images = torch.randn(4, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    snn = convert(network.eval(), {"preset": recipe, "pooling": "gate"}, images)
    seen = []
    for name in ("neuron", "pool"):
        sent = getattr(TorchLayers, name)

        def watched(self, *args, sent=sent):
            found = sent(self, *args)
            seen.append(found.data.is_contiguous(memory_format=torch.channels_last))
            strides = found.data.contiguous(memory_format=torch.channels_last).stride()
            seen.append(len(found.data) > 1 or found.data.stride() == strides)
            return found

        monkeypatch.setattr(TorchLayers, name, watched)
    with use("pytorch", Schedule(batch, chunk, "pytorch")):
        list(snn.simulate(images[:batch], (5,)))
    assert seen
    assert all(seen)
