"""Sizes of layers, as energy models with memory need them; and that counts reach the models."""

import torch
import torch.nn.functional as F
from torch import nn

import energy
from conversion import convert
from conversion.costs.energy import ann_energy_pj, network_of, operations_energy_pj


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2, groups=2)
        self.up, self.head = nn.ConvTranspose2d(6, 3, 2, bias=False), nn.Linear(27, 5)

    def forward(self, x):
        x = F.relu(self.second(F.relu(self.first(x))))
        x = F.relu(F.conv_transpose2d(x, self.up.weight))
        return F.linear(x.flatten(1), self.head.weight, self.head.bias)


def test_sizes_of_layers() -> None:
    images = torch.randn(4, 2, 6, 6)
    layers = convert(Net(), "opi", images).connectivity(images).layers
    found = [(y.weights, y.biases, y.inputs, y.outputs, y.taps) for y in layers]
    assert found == [
        (72, 4, 72, 144, 36),
        (6 * 2 * 9, 6, 144, 6 * 4, 54),
        (6 * 3 * 4, 0, 24, 27, 12),
        (135, 5, 27, 5, 0),
    ]


def test_every_model_is_computed_from_the_counts_of_a_simulation() -> None:
    images = torch.randn(4, 2, 6, 6)
    snn = convert(Net(), "burst", images)
    wiring = snn.connectivity(images)
    (readout,) = snn.simulate(images, (5,))
    spikes, synops = readout.activity.spikes, readout.activity.synops
    network, run = network_of(wiring), energy.Run(spikes, synops, 5, "burst", 5)
    found, ann = energy.energies(network, run), energy.ann_energies(network)
    assert set(found) == set(energy.models())
    assert set(ann) == {
        name for name, model in energy.models().items() if not getattr(model, "skip_zeros", False)
    }
    assert found["operations"] == operations_energy_pj(wiring, synops, 5, "burst")
    assert ann["operations"] == ann_energy_pj(wiring)
    parts = energy.breakdown(energy.by_name("memory"), network, run)
    assert set(parts) == {layer.name for layer in wiring.layers} | set(spikes)
    assert all(part.total > 0 for part in parts.values())
