"""Linear layers and neurons over tokens [B, L, C] in the kernels, within whole networks."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.simulation.backend import PRECISIONS, Schedule
from conversion.simulation.choice import use
from conversion.simulation.compiled.native import has_synapses, kernel
from conversion.simulation.compiled.schedule import BYTES, TABLES

pytestmark = pytest.mark.skipif(
    kernel() is None or not has_synapses(), reason="no kernels with synapses on this machine"
)


class Tokens(nn.Module):
    """Patches, layers over tokens, a residual sum, a dropout, tokens mixed, an odd number of channels."""

    def __init__(self, activation=F.relu):
        super().__init__()
        self.patches, self.activation = nn.Conv2d(3, 32, 3, stride=3), activation
        self.up, self.down = nn.Linear(32, 48), nn.Linear(48, 32)
        self.dropout = nn.Dropout(0.1)
        self.mix, self.odd = nn.Linear(6, 6), nn.Linear(32, 20, bias=False)
        self.head = nn.Linear(20, 5)

    def forward(self, x):
        x = F.relu(self.patches(x)).flatten(2).transpose(1, 2)
        x = self.activation(self.down(self.dropout(self.activation(self.up(x)))) + x)
        x = self.activation(self.mix(x.transpose(1, 2)).transpose(1, 2) + x)
        return self.head(F.relu(self.odd(x)).mean(1))


def short_fractions(network):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randint(-10, 16, parameter.shape, generator=generator) / 64)
    return network.eval()


IMAGES = torch.randint(-4, 8, (3, 3, 9, 6), generator=torch.Generator().manual_seed(1)) / 8


def readouts_by(recipe, images, backend, schedule=None, activation=F.relu, **options):
    snn = convert(short_fractions(Tokens(activation)), recipe, IMAGES)
    for index, threshold in enumerate(snn.thresholds.values()):
        threshold.copy_(
            torch.tensor([0.5, 2.0, 1.0, 4.0])
            .roll(index)[torch.arange(threshold.numel()) % 4]
            .view_as(threshold)
        )
    with use(backend, schedule):
        return list(snn.simulate(images, (1, 3, 20), **options))


@pytest.mark.parametrize("recipe", ["percentile", "opi", "burst", "hmt", "snm", "tracking", "ecmt", "dcgs"])
@pytest.mark.parametrize("schedule", [None, Schedule(2, 5, BYTES), Schedule(3, 7, TABLES)], ids=str)
def test_tokens_agree_with_plain_operations_to_the_last_spike(recipe, schedule):
    if recipe in ("hmt", "ecmt", "dcgs") and schedule is not None and schedule.kernel == TABLES:
        pytest.skip("these neurons do not run in tables")
    fast = readouts_by(recipe, IMAGES, "compiled", schedule)
    plain = readouts_by(recipe, IMAGES, "pytorch")
    for ours, theirs in zip(fast, plain, strict=True):
        assert sum(theirs.activity.spikes.values()) > 0
        assert ours.activity.spikes == theirs.activity.spikes
        assert ours.activity.synops == theirs.activity.synops
        torch.testing.assert_close(ours.output, theirs.output, rtol=1e-5, atol=1e-5)
    if recipe == "percentile":  # one threshold a layer: its neurons and all that spikes drive
        assert fast[-1].ran.layers[BYTES] >= 6


@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_image_and_its_chunks_give_what_all_images_give(precision):
    together = readouts_by("percentile", IMAGES, "compiled", precision=precision)
    alone = [
        readouts_by("percentile", one, "compiled", precision=precision, chunk=3) for one in IMAGES.split(1)
    ]
    for index, all_of_them in enumerate(together):
        parts = [readouts[index] for readouts in alone]
        for name, spikes in all_of_them.activity.spikes.items():
            assert spikes == sum(part.activity.spikes[name] for part in parts)


def test_functions_over_tokens_are_the_same_but_for_rounding():
    fast = readouts_by("tracking", IMAGES, "compiled", activation=F.gelu)[-1]
    plain = readouts_by("tracking", IMAGES, "pytorch", activation=F.gelu)[-1]
    for name, spikes in plain.activity.spikes.items():
        assert fast.activity.spikes[name] == pytest.approx(spikes, rel=0.01)
    assert (fast.output - plain.output).norm() < 0.02 * plain.output.norm()
    assert fast.ran.layers[BYTES] >= 3
