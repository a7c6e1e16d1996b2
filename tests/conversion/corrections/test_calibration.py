import pytest
import torch
from torch import nn

from conversion import RecipeError, SpikingNetwork, convert
from conversion.corrections import ChannelCalibration

T = 4


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(40, 3, 5, 5, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(125, 4)),
    ).eval()


def means(values: torch.Tensor) -> torch.Tensor:
    return values.mean((0, 2, 3))


def test_it_is_where_the_published_updates_come_to_rest(network: nn.Module, images: torch.Tensor) -> None:
    """The authors' updates, thousands of batches of them, layer after layer, with plain tensors."""
    snn = convert(network, {"preset": "parallel", "correction": {"images": 40}}, images, time_steps=T).at(T)
    assert isinstance(snn, SpikingNetwork)
    first, second = snn.layers.values()
    ann, spiking = images, images
    with torch.no_grad():
        for layer, conv in zip((first, second), (network[0], network[2]), strict=True):
            z, x = conv(ann), conv(spiking)
            ann = z.relu()
            theta = ann.amax((0, 2, 3))
            shift, out = torch.zeros_like(theta), torch.zeros_like(theta)
            shift = means(z - x)
            for _ in range(3000):
                scaled = (x + shift.view(1, -1, 1, 1)) * T / theta.view(1, -1, 1, 1)
                share = (scaled + 0.5).floor().clamp(0, T) / T
                sent = share * (theta + out).view(1, -1, 1, 1)
                out = 0.99 * out + 0.01 * means(ann - sent)
            spiking = share * (theta + out).view(1, -1, 1, 1)
            torch.testing.assert_close(layer.offset.flatten(), shift, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(layer.threshold.flatten(), theta + out, rtol=1e-3, atol=1e-4)
            level = torch.tensor(layer.neuron.level)
            torch.testing.assert_close(level * layer.threshold.flatten(), theta, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(layer.initial.flatten(), level / 2, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(first.threshold.flatten(), network[0](images).relu().amax((0, 2, 3)), rtol=1e-3)


def test_the_network_sends_what_the_calibrated_staircase_says(
    network: nn.Module, images: torch.Tensor
) -> None:
    snn = convert(network, "parallel", images, time_steps=T).at(T)
    first, second = snn.layers.values()
    values = images
    with torch.no_grad():
        for layer, conv in zip((first, second), (network[0], network[2]), strict=True):
            theta = layer.threshold * torch.tensor(layer.neuron.level).view(1, -1, 1, 1)
            scaled = (conv(values) + layer.offset) * T / theta
            values = (scaled + 0.5).floor().clamp(0, T) / T * layer.threshold
        torch.testing.assert_close(snn(images, T), network[5](values.flatten(1)), rtol=1e-3, atol=1e-3)


def test_mean_errors_of_channels_fall(network: nn.Module, images: torch.Tensor) -> None:
    plain = network[:4]
    with torch.no_grad():
        ann = plain(images)

    def errors(correction: object) -> torch.Tensor:
        snn = convert(plain, {"preset": "parallel", "correction": correction}, images, time_steps=T)
        return means(snn(images, T) - ann).abs()

    calibrated, before = errors({"images": 40}), errors("none")
    assert calibrated.sum() < 0.9 * before.sum()


def test_it_is_refused_for_neurons_whose_spikes_take_what_they_transmit(network: nn.Module, images) -> None:
    with pytest.raises(RecipeError, match="neuron 'integrate-and-fire' does not do; use neuron parallel"):
        convert(network, {"preset": "opi", "correction": "channel-calibration"}, images, time_steps=T)
    with pytest.raises(ValueError, match="images must be at least 1"):
        ChannelCalibration(images=0)
