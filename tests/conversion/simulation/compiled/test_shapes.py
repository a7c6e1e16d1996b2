"""Neurons of any shape, and what functions say to them, in the kernels: spike by spike as in PyTorch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.signals.signals import Signal, Spikes
from conversion.simulation.backend import Schedule
from conversion.simulation.choice import use
from conversion.simulation.compiled.native import has_synapses, kernel
from conversion.simulation.compiled.rows import Rows
from conversion.simulation.compiled.schedule import BYTES, TABLES

pytestmark = pytest.mark.skipif(
    kernel() is None or not has_synapses(), reason="no kernels with synapses on this machine"
)


@pytest.fixture(params=["matrix unit", "vectors"])
def multiplier(request, monkeypatch):
    """Neurons fire behind a matrix unit and behind vector instructions."""
    if request.param == "vectors":
        monkeypatch.setattr("conversion.simulation.compiled.layers.has_tiles", lambda: False)


class Attention(nn.Module):
    """Products of heads over an odd number of tokens, a residual sum, a norm, a function over four axes."""

    def __init__(self, function=F.silu):
        super().__init__()
        self.patches, self.function = nn.Conv2d(3, 12, 3, stride=3), function
        self.query, self.key, self.value = (nn.Linear(12, 12) for _ in range(3))
        self.out, self.head = nn.Linear(12, 12), nn.Linear(12, 5)

    def forward(self, x):
        x = F.relu(self.patches(x)).flatten(2).transpose(1, 2)
        query, key, value = (
            layer(x).unflatten(2, (3, 4)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        shares = torch.softmax(query @ key.transpose(2, 3) * 0.5, -1)
        x = x + self.out((shares @ self.function(value)).transpose(1, 2).flatten(2))
        return self.head(self.function(F.layer_norm(x, (12,))).mean(1))


class LastAxis(nn.Module):
    """Channels last over four axes, a function of five, a gate, and neurons of one value an image."""

    def __init__(self, function=F.silu):
        super().__init__()
        self.first, self.function = nn.Conv2d(3, 6, 3, padding=1), function
        self.up, self.gate, self.down = nn.Linear(6, 10), nn.Linear(6, 10), nn.Linear(10, 6)
        self.head = nn.Linear(6, 1)

    def forward(self, x):
        x = self.function(self.first(x)).permute(0, 2, 3, 1)
        x = x + self.down(self.function(self.up(x)) * self.gate(x))
        x = self.function(x.unflatten(-1, (3, 2)).transpose(1, 3)).transpose(1, 3).flatten(-2)
        return self.function(self.head(x).mean((1, 2)))


class Squeezed(nn.Module):
    """A convolution behind a function, and what it makes times its own squeeze."""

    def __init__(self, function=F.silu):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2)
        self.small, self.head, self.function = nn.Conv2d(16, 16, 1), nn.Linear(16, 4), function

    def forward(self, x):
        x = self.function(self.second(self.function(self.first(x))))
        x = x * torch.sigmoid(self.small(x.mean((2, 3), keepdim=True)))
        return self.head(x.mean((2, 3)))


class Constant(nn.Module):
    """Functions of the image itself, which does not change, and of what linear layers make of it."""

    def __init__(self, function=F.silu):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 4)
        self.function = function

    def forward(self, x):
        x = F.layer_norm(x, (9, 6)).permute(0, 2, 3, 1)
        x = self.function(self.second(self.function(self.first(x))))
        return self.head(torch.softmax(self.second(x), -1).mean((1, 2)))


def readouts(network, recipe, backend, schedule=None, **options):
    """With powers of two as thresholds and short fractions as weights, so that both round alike."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randint(-12, 16, parameter.shape, generator=generator) / 64)
    images = torch.randint(-4, 8, (3, 3, 9, 6), generator=generator) / 8
    snn = convert(network.eval(), recipe, images)
    for index, threshold in enumerate(snn.thresholds.values()):
        sizes = torch.tensor([0.25, 0.125, 0.5, 0.0625]).roll(index)
        threshold.copy_(sizes[torch.arange(threshold.numel()) % 4].view_as(threshold))
    with use(backend, schedule):
        return list(snn.simulate(images, (1, 3, 20), **options))


@pytest.mark.parametrize("network", [Attention, LastAxis, Squeezed, Constant])
@pytest.mark.parametrize("recipe", ["snm", "dcgs", "tracking", "ecmt", "st-bif"])
@pytest.mark.parametrize("schedule", [None, Schedule(2, 5, BYTES), Schedule(3, 7, TABLES)], ids=str)
def test_networks_agree_with_plain_operations_to_the_last_spike(network, recipe, schedule):
    fast = readouts(network(), recipe, "compiled", schedule)
    plain = readouts(network(), recipe, "pytorch")
    for ours, theirs in zip(fast, plain, strict=True):
        assert sum(theirs.activity.spikes.values()) > 0
        assert ours.activity.spikes == theirs.activity.spikes
        assert ours.activity.synops == theirs.activity.synops
        torch.testing.assert_close(ours.output, theirs.output, rtol=1e-4, atol=1e-4)
    neurons = set(plain[-1].activity.spikes)
    assert len(neurons) >= 4
    assert fast[-1].ran.layers[BYTES] >= len(neurons) - 1


@pytest.mark.usefixtures("multiplier")
@pytest.mark.parametrize("recipe", ["snm", "dcgs", "tracking", "ecmt", "st-bif"])
@pytest.mark.parametrize("function", [F.gelu, torch.tanh, F.leaky_relu], ids=["gelu", "tanh", "leaky_relu"])
def test_functions_agree_behind_both_multipliers_and_in_any_chunks(recipe, function):
    fast = readouts(LastAxis(function), recipe, "compiled", chunk=3)
    plain = readouts(LastAxis(function), recipe, "pytorch")
    for ours, theirs in zip(fast, plain, strict=True):
        assert ours.activity.spikes == theirs.activity.spikes
        torch.testing.assert_close(ours.output, theirs.output, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(24.0).view(2, 12),
        torch.arange(48.0).view(2, 2, 3, 4).permute(0, 3, 1, 2),
        torch.arange(48.0).view(2, 2, 3, 4).transpose(0, 2),
        torch.arange(3.0).view(3, 1, 1),
        torch.arange(3.0),
        torch.arange(2.0).view(2, 1, 1).expand(2, 3, 4),
    ],
    ids=lambda value: str(tuple(value.shape)),
)
def test_rows_are_a_permutation_that_can_be_undone(value):
    rows = Rows.of(value)
    flat = rows(value)
    assert flat.shape == (len(value), value[0].numel())
    assert torch.equal(rows.back(flat), value)
    if value.ndim == 4 and value.stride(0) == 24:  # one image after the other: memory is left as it is
        assert flat.data_ptr() == value.data_ptr()


def test_spikes_in_rows_keep_the_value_of_each():
    counts = torch.randint(-2, 3, (4, 5, 2, 3), dtype=torch.int8).transpose(1, 3)
    spikes = Spikes(counts, 2, torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]), True)
    rows = Rows.of(counts)
    assert torch.equal(rows.back(rows.signal(spikes).data), spikes.data)
    signal = Signal(spikes.data, 2)
    assert torch.equal(rows.signal(signal).data, rows.signal(spikes).data)
