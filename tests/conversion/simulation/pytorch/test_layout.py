"""The reference backend keeps channels last in memory and writes spikes in place; nothing changes by it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.neurons import (
    Burst,
    DifferentialBothSigns,
    DifferentialMultiThreshold,
    IntegrateAndFire,
    MirroredMultiThreshold,
    MultiThreshold,
    Signed,
    SpikeCalibrated,
    TwoSided,
)
from conversion.neurons.base import Neuron
from conversion.neurons.tracking import Tracking
from conversion.signals.memory import room_for, sum_over_time
from conversion.simulation.choice import use
from conversion.simulation.pytorch.layers import TorchLayers

NEURONS = [
    *(IntegrateAndFire(), Burst(1), Burst(4), MultiThreshold(1), MultiThreshold(3), Tracking(), Tracking(1)),
    *(
        MirroredMultiThreshold(2),
        Signed(),
        Signed(3, 0.0, 2),
        Signed(2, -0.5),
        Signed(1, -0.001),
        Signed(1, 0.0),
    ),
    *(TwoSided(), TwoSided(3, -1.0), TwoSided(2, 0.0), TwoSided(1, -0.25), DifferentialBothSigns(3)),
    *(DifferentialMultiThreshold(3), DifferentialMultiThreshold(1, 1.0), SpikeCalibrated(2, 3, "fix")),
]


def one_by_one(neuron, current, steps, state):
    spikes = []
    for t in range(steps):
        sent, state = neuron.step(current[min(t, len(current) - 1)], state)
        spikes.append(sent)
    return torch.stack(spikes), state


@pytest.mark.parametrize("neuron", NEURONS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_steps_in_place_are_the_steps_one_by_one(neuron, dtype, last, constant):
    torch.manual_seed(0)
    folded = torch.randn(2 if constant else 80, 6, 3, 5, dtype=dtype) + 0.4
    folded[:, :2] = folded[:, :2].mul(4).round() / 4  # membranes that meet a threshold exactly
    if last:
        folded = folded.contiguous(memory_format=torch.channels_last)
    current = folded.unflatten(0, (-1, 2))
    state = neuron.start(torch.full((2, 6, 3, 5), 0.5, dtype=dtype))
    if not neuron.bounded:
        state = neuron.capped(state, torch.full((2, 6, 3, 5), 6.0, dtype=dtype))
        state = neuron.at_rest(torch.full((2, 6, 3, 5), 0.25, dtype=dtype), state)
    before, given = {key: entry.clone() for key, entry in state.items()}, current.clone()
    expected, after = one_by_one(neuron, current, 40, state)
    spikes, found = neuron.scan(current, 40, state)
    assert torch.equal(spikes, expected)
    assert found.keys() == after.keys()
    assert all(torch.equal(found[key], after[key]) for key in after)
    assert all(torch.equal(state[key], before[key]) for key in state)  # left as it was
    assert torch.equal(current, given)
    if neuron.alphabet != "graded":  # each event is a spike
        assert torch.equal(neuron.events(spikes), Neuron.events(neuron, expected))
    assert spikes.flatten(0, 1).is_contiguous(memory_format=torch.channels_last) == last
    assert spikes.any()


class Twice(Burst):
    """A neuron with a step of its own."""

    def step(self, current, state):
        spikes, state = super().step(2 * current, state)
        return spikes, state


def test_a_step_of_its_own_is_not_replaced_by_one_that_is_inherited():
    current = torch.tensor([0.3, 0.3, 0.3]).view(3, 1, 1)
    spikes, _ = Twice(2).scan(current, 3, {"v": torch.zeros(1, 1)})
    assert spikes.flatten().tolist() == [0, 1, 0]


def test_gradients_flow_through_steps():
    current = torch.ones(3, 1, 1, requires_grad=True)
    _, state = Tracking().scan(current, 3, {"v": torch.zeros(1, 1)})
    state["v"].sum().backward()
    assert current.grad is not None
    assert current.grad.flatten().tolist() == [1, 1, 1]


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


@pytest.mark.parametrize(
    "shape", [(3, 2, 5), (4, 2, 3, 5, 6), (1, 1, 3, 5, 6), (0, 2, 3, 4, 5), (3, 0, 3, 4, 5)]
)
@pytest.mark.parametrize("last", [False, True])
def test_sums_over_time_do_not_depend_on_memory(shape, last):
    timed = torch.arange(float(torch.Size(shape).numel())).view(shape)
    if last and len(shape) == 5:
        timed = timed.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, shape[:2])
    found = sum_over_time(timed, torch.float64)
    assert found.dtype is torch.float64
    assert torch.equal(found, timed.double().sum(0))
