"""Neurons with a bias for each step fire in the kernels, as PyTorch's operations say."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from conversion import SpikingNetwork, convert
from conversion.neurons import Burst, IntegrateAndFire, Neuron, Signed, TimedBias
from conversion.plan.layer import SpikingLayer
from conversion.simulation.backend import Schedule
from conversion.simulation.choice import REFERENCE, use
from conversion.simulation.compiled.native import has_tables, kernel
from conversion.simulation.fused.firing import spikes_of

pytestmark = pytest.mark.skipif(kernel() is None, reason="no C compiler on this machine")
T = 6


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(288, 16), nn.ReLU(), nn.Linear(16, 4)),
    ).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(9, 3, 6, 6, generator=torch.Generator().manual_seed(2))


def timed(network: nn.Module, images: Tensor, neuron: Neuron, steps: int) -> SpikingNetwork:
    """A network of neurons with a random bias for each of the first `steps` steps; also constant offsets."""
    snn = convert(network, {"preset": "opi", "neuron": neuron.as_dict()}, images)
    assert isinstance(snn, SpikingNetwork)
    generator = torch.Generator().manual_seed(3)
    layers: dict[str, SpikingLayer] = {}
    for name, layer in snn.layers.items():
        channels = snn.plan.shapes[next(n for n, r in snn.plan.roles.items() if r.name == name)][1]
        table = (torch.randn(steps, channels, generator=generator) / 4).tolist()
        shape = (1, channels, *[1] * (layer.threshold.ndim - 2))
        offset = torch.randn(channels, generator=generator).view(shape) * layer.threshold / 20
        layers[name] = replace(layer, neuron=TimedBias(neuron, table), offset=offset)
    return SpikingNetwork(snn.plan, layers)


NEURONS = [IntegrateAndFire(), Burst(3), Signed(1, 0.0), Signed(2, 0.0, 3)]


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
@pytest.mark.parametrize("steps", [T, 4])
@pytest.mark.parametrize("kernel_name", ["bytes", "tables"])
@pytest.mark.parametrize("chunk", [1, 4, T])
def test_kernels_send_what_the_equations_say(neuron, steps, kernel_name, chunk, network, images) -> None:
    """Also where the table ends before the simulation does, and where chunks cut it."""
    if kernel_name == "tables" and not has_tables():
        pytest.skip("no tables on this machine")
    snn = timed(network, images, neuron, steps)
    with use(REFERENCE):
        (expected,) = snn.simulate(images, T)
    with use("compiled", Schedule(8, chunk, kernel_name)):
        (found,) = snn.simulate(images, T)
    assert set(found.ran.layers) <= {"bytes", "tables", "pytorch"}
    assert "bytes+pytorch" not in found.ran.layers
    for name, count in expected.activity.spikes.items():
        assert found.activity.spikes[name] == pytest.approx(count, rel=2e-3)
    torch.testing.assert_close(found.output, expected.output, rtol=0.05, atol=0.02)


def test_the_bias_matters(network, images) -> None:
    one, two = (timed(network, images, IntegrateAndFire(), steps) for steps in (T, 1))
    assert not torch.allclose(one(images, T), two(images, T), atol=1e-2)


def test_ranges_of_spikes_are_those_of_the_neuron_inside() -> None:
    assert spikes_of(TimedBias(Signed(2, 0.0, 3))) == (-3, 2)
    assert spikes_of(TimedBias(IntegrateAndFire())) == (0, 1)
