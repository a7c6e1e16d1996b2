"""Whole networks in interpreted kernels against PyTorch's operations.

Weights, images and thresholds of the networks here are short binary fractions, so that all arithmetic is
exact: both backends must agree to the last spike, not only on average.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.simulation.backend import Schedule
from conversion.simulation.choice import use

TIME_STEPS = (1, 4)


class Net(nn.Module):
    """Residual sums of two and three addends, pools, concatenation, a depthwise layer; for [B, 2, 4, 4]."""

    def __init__(self, activation=nn.ReLU):
        super().__init__()
        self.first, self.one = nn.Conv2d(2, 4, 3, padding=1), activation()
        self.second, self.two = nn.Conv2d(4, 4, 3, padding=1, groups=4), activation()
        self.side, self.three = nn.Conv2d(2, 4, 1), activation()
        self.third = nn.Conv2d(8, 4, 1, bias=False)
        self.hidden, self.four = nn.Linear(4, 6), activation()
        self.head = nn.Linear(6, 3)

    def forward(self, image):
        x = F.max_pool2d(self.one(self.first(image)), 3, 1, 1)
        x = self.two(self.second(x) + x + self.side(image))
        x = torch.cat([F.max_pool2d(x, 2), F.avg_pool2d(self.side(image), 2)], 1)
        x = F.max_pool2d(self.three(self.third(x)), 2, ceil_mode=True)
        return self.head(self.four(self.hidden(x.flatten(1))))


def short_fractions(network, unit=16):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randint(-4, 8, parameter.shape, generator=generator) / unit)
    return network.eval()


@pytest.fixture
def images():
    return torch.randint(-4, 8, (2, 2, 4, 4), generator=torch.Generator().manual_seed(1)) / 8


def converted(network, recipe, images):
    snn = convert(network, recipe, images)
    for index, threshold in enumerate(snn.thresholds.values()):
        threshold.fill_((0.5, 2.0, 1.0)[index % 3])
    return snn


def simulated(snn, images, backend, schedule=None, **options):
    with use(backend, schedule):
        readouts = list(snn.simulate(images, TIME_STEPS, **options))
    assert all(readout.ran.backend == backend for readout in readouts)
    return readouts


def agree(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        assert sum(other.activity.spikes.values()) > 0
        assert mine.activity.spikes == other.activity.spikes
        assert mine.activity.synops == other.activity.synops
        torch.testing.assert_close(mine.output, other.output, rtol=1e-5, atol=1e-5)


RECIPES = [
    "opi",
    {"preset": "opi", "pooling": "before-neuron"},
    {"preset": "burst", "pooling": "gate"},
    "spicalib",
    {"preset": "spicalib", "neuron": {"variant": "code", "allowance": 1}},
    "snm",
    {"preset": "opi", "neuron": {"name": "integer", "most": 3}},
    {"preset": "opi", "initial": "residual"},
    "dcgs",
    "hmt",
    "tracking",
    "ecmt",
    "msat",
]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_agrees_with_plain_operations_to_the_last_spike(recipe, images):
    snn = converted(short_fractions(Net()), recipe, images)
    ours = simulated(snn, images, "triton")
    agree(ours, simulated(snn, images, "pytorch"))
    if recipe != "msat":  # fires real numbers, in PyTorch
        assert ours[-1].ran.layers["triton"] >= 4


def test_other_activations_and_bounds(images):
    tracking = converted(short_fractions(Net(nn.Hardswish)), "tracking", images)
    agree(simulated(tracking, images, "triton"), simulated(tracking, images, "pytorch"))
    bounded = converted(short_fractions(Net(nn.ReLU6)), "dcgs", images)
    agree(simulated(bounded, images, "triton"), simulated(bounded, images, "pytorch"))
    leaky = converted(
        short_fractions(Net(lambda: nn.LeakyReLU(0.25))),
        {"preset": "opi", "neuron": "imbalanced-threshold"},
        images,
    )
    agree(simulated(leaky, images, "triton"), simulated(leaky, images, "pytorch"))


@pytest.mark.parametrize("schedule", [Schedule(1, 4, "triton"), Schedule(2, 3, "triton")], ids=str)
def test_batches_and_chunks_do_not_matter(schedule, images):
    snn = converted(short_fractions(Net()), {"preset": "spicalib", "neuron": {"allowance": 1}}, images)
    agree(simulated(snn, images, "triton", schedule), simulated(snn, images, "pytorch"))


def test_no_images_at_all(images):
    snn = converted(short_fractions(Net()), "opi", images)
    (ours,) = simulated(snn, images[:0], "triton")[-1:]
    (theirs,) = simulated(snn, images[:0], "pytorch")[-1:]
    assert ours.output.shape == theirs.output.shape == (0, 3)
    assert sum(ours.activity.spikes.values()) == 0
