"""Any number of channels, with a spike value each, cut, shuffled and joined: as in plain operations.

Weights, images and thresholds are short binary fractions, so all arithmetic is exact in float32.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.plan.fitted import Fitted
from conversion.simulation.backend import PRECISIONS
from conversion.simulation.choice import use
from conversion.simulation.compiled.backend import Compiled
from conversion.simulation.compiled.layers import channels_last
from conversion.simulation.compiled.native import has_synapses, has_tiles, kernel

pytestmark = pytest.mark.skipif(
    kernel() is None or not has_synapses(), reason="no byte kernel on this machine (AVX-512 VNNI or AVX2)"
)
TIME_STEPS = (1, 3, 20)


@pytest.fixture(autouse=True, params=["matrix unit", "vectors"])
def multiplier(request, monkeypatch):
    if request.param == "vectors":
        monkeypatch.setattr("conversion.simulation.compiled.layers.has_tiles", lambda: False)
    elif not has_tiles():
        pytest.skip("no matrix unit on this machine (AMX)")


class Odd(nn.Module):
    """Counts of channels that fill no register, groups of them, a pool, tokens and a linear head."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 18, 3, stride=2, padding=1)
        self.side, self.deep = nn.Conv2d(5, 18, 1, stride=2), nn.Conv2d(18, 18, 3, padding=1, groups=18)
        self.groups, self.tokens = nn.Conv2d(18, 9, 3, groups=3), nn.Linear(9, 7)
        self.head = nn.Linear(7, 3)
        self.pool = nn.MaxPool2d(2, 1)

    def forward(self, x):
        x = self.pool(F.relu(self.first(x)))
        x = F.relu(self.second(x) + self.side(x))
        x = F.relu(self.deep(x) + x)
        x = F.relu(self.groups(x)).flatten(2).transpose(1, 2)
        return self.head(F.relu(self.tokens(x)).mean(1))


class Shuffled(nn.Module):
    """Channels cut in two, one half worked on, joined and shuffled, in several spellings."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3, padding=1)
        self.left, self.right = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.Conv2d(6, 6, 1)
        self.again, self.last = nn.Conv2d(4, 8, 3), nn.Conv2d(16, 20, 1)
        self.shuffle = nn.ChannelShuffle(3)
        self.head = nn.Linear(20, 3)

    def forward(self, x):
        left, right = F.relu(self.first(x)).chunk(2, 1)
        right = F.relu(self.right(F.relu(self.left(right))))
        x = torch.cat([left, right], 1)
        batch, channels, height, width = x.size()
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        x = self.shuffle(x.view(batch, -1, height, width))
        one, two, three = torch.split(x, [4, 4, 4], 1)
        x = torch.cat(
            [F.relu(self.again(one)), two[:, :, 1:-1, 1:-1], three.flip(1).narrow(2, 1, 5)[..., 1:-1]], 1
        )
        return self.head(F.relu(self.last(x)).mean((2, 3)))


class Places(Shuffled):
    """What differs between places as well: each is a channel of its own, and channels become places."""

    def forward(self, x):
        x = F.relu(self.first(x))
        x = F.relu(self.last(F.pad(F.pixel_shuffle(x, 2)[:, :, :5, :5], (0, 0, 0, 0, 0, 13))))
        return self.head(x.flatten(2).mean(2))


class Written(Shuffled):
    """Numbers that are no spikes stand among them, in whole channels."""

    def forward(self, x):
        x = F.relu(self.first(x))
        x = torch.cat([x, x.index_fill(1, torch.tensor([0, 5]), 0.5)[:, :4]], 1)
        x = x.clone()
        x[:, 3] = 0.25
        return self.head(F.relu(self.last(x)).mean((2, 3)))


def exact(network, recipe, images):
    """Converted, with fractions of few digits everywhere and another threshold in every channel."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randint(-10, 16, parameter.shape, generator=generator) / 32)
    snn = convert(network.eval(), recipe, images)
    for threshold in snn.thresholds.values():
        threshold.copy_(2.0 ** torch.randint(-1, 3, threshold.shape, generator=generator))
    return snn


@pytest.fixture
def images():
    return torch.randint(-4, 8, (5, 3, 7, 7), generator=torch.Generator().manual_seed(1)) / 8


def both(snn, images, **options):
    with use("compiled"):
        fast = list(snn.simulate(images, TIME_STEPS, **options))
    with use("pytorch"):
        return fast, list(snn.simulate(images, TIME_STEPS))


PER_CHANNEL = {"name": "percentile", "p": 0.99, "per_channel": True}


@pytest.mark.parametrize("network", [Odd, Shuffled, Places, Written])
@pytest.mark.parametrize("preset", ["opi", "burst", "spicalib", "snm", "dcgs", "hmt", "tracking", "ecmt"])
def test_every_spike_is_that_of_plain_operations(network, preset, images):
    snn = exact(network(), {"preset": preset, "scale": PER_CHANNEL}, images)
    for chunk in (64, 2):
        fast, plain = both(snn, images, chunk=chunk)
        for ours, theirs in zip(fast, plain, strict=True):
            assert sum(theirs.activity.spikes.values()) > 0
            assert ours.activity.spikes == theirs.activity.spikes
            assert ours.activity.synops == theirs.activity.synops
            torch.testing.assert_close(ours.output, theirs.output, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("network", [Odd, Shuffled])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_such_layers_run_in_kernels_in_every_precision(network, precision, images):
    snn = exact(network(), {"preset": "burst", "scale": PER_CHANNEL}, images)
    (readout,) = both(snn, images[:1], precision=precision)[0][-1:]
    first_and_head = 2
    assert readout.ran.layers["pytorch"] == first_and_head, readout.ran.layers


@pytest.mark.parametrize("network", [Odd, Shuffled, Places])
@pytest.mark.parametrize("preset", ["opi", "snm"])
def test_every_schedule_sends_the_same(network, preset, images):
    """Also where spikes travel as bits between layers that have tables."""
    snn = exact(network(), {"preset": preset, "scale": PER_CHANNEL}, images)
    _, plain = both(snn, images)
    schedules = Compiled().schedules(Fitted(snn.plan, snn.layers), images, 16, "float32")
    assert len(schedules) > 1
    for schedule in schedules:
        with use("compiled", schedule):
            fast = list(snn.simulate(images, TIME_STEPS))
        assert [one.activity.spikes for one in fast] == [one.activity.spikes for one in plain]


def test_memory_with_room_is_not_copied():
    room = torch.arange(2 * 3 * 4 * 16.0).view(2, 3, 4, 16)
    value = room.permute(0, 3, 1, 2)[:, :10]
    assert channels_last(value, 16).data_ptr() == room.data_ptr()
    assert torch.equal(channels_last(value, 16), room)
    assert torch.equal(channels_last(value, 10), room[..., :10])
    for other in (value[:, 2:], value.contiguous(), value[:, :, 1:], value[1:].clone()):
        found = channels_last(other, 16)
        assert found.is_contiguous()
        assert torch.equal(found[..., : other.shape[1]], other.permute(0, 2, 3, 1))
    tokens = room.flatten(1, 2)[..., 6:]
    assert torch.equal(channels_last(tokens, 16)[:, :, 0, :10], tokens)
    last = room.flatten(0, 2)[:, 6:]  # as far from its row's end as from the end of memory
    assert torch.equal(channels_last(last, 16)[:, 0, 0, :10], last)


@pytest.mark.parametrize(
    ("preset", "precision"),
    [("opi", "int8"), ("suhd", "float32"), ("tdif", "float32"), ("parallel", "float32")],
)
def test_the_precision_is_that_which_weights_had(preset, precision, images):
    """Spikes that are no whole numbers, and sums of a window, meet weights in float32, whatever was asked."""
    snn = convert(Odd().eval(), preset, torch.rand(8, 3, 9, 9))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(16, 3, 9, 9, generator=generator)
    (asked,) = snn.simulate(images, (4,), precision="int8")
    (fine,) = snn.simulate(images, (4,))
    assert asked.ran.precision == precision
    assert torch.equal(asked.output, fine.output) == (precision == "float32")
