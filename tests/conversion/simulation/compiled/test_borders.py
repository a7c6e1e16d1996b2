"""Borders around spikes that both kernels do not know by themselves, against plain operations."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from conversion.simulation.backend import Schedule
from conversion.simulation.choice import use
from conversion.simulation.compiled.native import has_synapses, has_tables, kernel
from conversion.simulation.compiled.schedule import fits_tables, planes_for

pytestmark = pytest.mark.skipif(
    kernel() is None or not has_synapses(), reason="no byte kernel on this machine (AVX-512 VNNI or AVX2)"
)


class Bordered(nn.Module):
    """Spikes, a border around them, and a layer that the kernel runs."""

    def __init__(self, border: Any) -> None:
        super().__init__()
        self.first, self.layer, self.head = nn.Conv2d(2, 16, 1), nn.Conv2d(16, 16, 3), nn.Conv2d(16, 4, 1)
        self.border = border

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.layer(self.border(F.relu(self.first(x))))))


BORDERS = {
    **{
        mode: lambda x, mode=mode: F.pad(x, (1, 2, 2, 1), mode)
        for mode in ("reflect", "replicate", "circular")
    },
    "ReflectionPad2d": nn.ReflectionPad2d(1),
    "ReplicationPad2d": nn.ReplicationPad2d((2, 0, 1, 1)),
    "CircularPad2d": nn.CircularPad2d(2),
    "cut off": lambda x: F.pad(x, (-1, 1, 0, -1)),
    "of a channel": lambda x: F.pad(x[:, 1:], (1, 1, 1, 1, 0, 1)),
    "after a row": lambda x: F.pad(x.flatten(2).view(-1, 16, 5, 6), (1, 1)),
    "of ones": lambda x: F.pad(x, (1, 1, 1, 1), value=1.0),
}


@pytest.mark.parametrize("recipe", ["opi", "burst"])
@pytest.mark.parametrize("tables", [False, True])
@pytest.mark.parametrize("border", BORDERS.values(), ids=BORDERS)
def test_borders_around_spikes(border, tables: bool, recipe: str) -> None:
    network, generator = Bordered(border).eval(), torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        parameter.data = torch.randint(-12, 20, parameter.shape, generator=generator) / 64
    images = torch.randint(-4, 8, (5, 2, 5, 6), generator=generator) / 8
    snn = convert(network, recipe, images)
    for threshold in snn.thresholds.values():
        threshold.fill_(0.5)
    if tables and not (has_tables() and fits_tables(4, planes_for(snn.fitted.neurons))):
        pytest.skip("no table kernel on this machine")
    kernel_name = "tables" if tables else "bytes"
    with use("compiled", Schedule(4, 3, kernel_name)):
        fast = list(snn.simulate(images, (1, 2, 9)))
    assert fast[-1].ran.layers[kernel_name] >= 2  # both layers of neurons fired in the kernel
    with use("pytorch"):
        plain = list(snn.simulate(images, (1, 2, 9)))
    assert plain[-1].activity.spikes["relu#2"] > 0
    for ours, theirs in zip(fast, plain, strict=True):
        assert ours.activity.spikes == theirs.activity.spikes
        assert ours.activity.synops == theirs.activity.synops
        torch.testing.assert_close(ours.output, theirs.output, rtol=1e-6, atol=1e-6)
