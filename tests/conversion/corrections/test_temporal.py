import pytest
import torch
from torch import nn

from conversion import RecipeError, SpikingNetwork, convert
from conversion.corrections import TemporalBias
from conversion.neurons import Signed, TimedBias

T = 4


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(60, 3, 6, 6, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(180, 4)),
    ).eval()


def fitted(network: nn.Module, images: torch.Tensor, **settings: object) -> SpikingNetwork:
    recipe = {"preset": "ftbc", "correction": {"images": 60, **settings}}
    snn = convert(network, recipe, images, time_steps=T).at(T)
    assert isinstance(snn, SpikingNetwork)
    return snn


def test_one_round_is_the_published_update(network: nn.Module, images: torch.Tensor) -> None:
    """Step by step and channel by channel with plain tensors, for the first layer."""
    layer = next(iter(fitted(network, images, rounds=1).layers.values()))
    assert isinstance(layer.neuron, TimedBias)
    theta = layer.threshold.flatten()
    with torch.no_grad():
        current = network[0](images)
    table = torch.tensor(layer.neuron.bias)
    assert table.shape == (T, 6)
    for channel in range(6):
        x, th = current[:, channel], float(theta[channel])
        wanted, v = float(x.relu().mean()), torch.full_like(x, th / 2)
        for t in range(T):
            fired = (v + x >= th).float().mean() * th
            bias = 0.4 * (wanted - float(fired))
            assert float(table[t, channel]) * th == pytest.approx(bias, abs=1e-5)
            v = v + x + bias
            v = v - (v >= th).float() * th


def test_after_enough_rounds_every_step_sends_the_mean_activation(network, images) -> None:
    snn = fitted(network, images, rounds=40, rate=0.3)
    first = next(iter(snn.layers.values()))
    with torch.no_grad():
        current = network[0](images)
    wanted = current.relu().mean((0, 2, 3))
    spikes, _ = first.neuron.scan((current / first.threshold)[None], T, first.start(current))
    sent = (spikes * first.threshold).mean((1, 3, 4))
    plain, _ = first.neuron.inner.scan((current / first.threshold)[None], T, first.start(current))
    before = (plain * first.threshold).mean((1, 3, 4))
    active = wanted > 0.05 * wanted.max()
    error = ((sent - wanted) / wanted)[:, active].abs()
    assert error.max() < 0.1
    assert error.max() < 0.5 * ((before - wanted) / wanted)[:, active].abs().max()


def test_it_brings_the_outputs_nearer(network: nn.Module, images: torch.Tensor) -> None:
    with torch.no_grad():
        ann = network(images)

    def error(correction: object) -> float:
        snn = convert(network, {"preset": "ftbc", "correction": correction}, images, time_steps=T)
        return float((snn(images, T) - ann).norm() / ann.norm())

    assert error({"images": 60}) < 0.95 * error("none")


def test_chunks_and_kept_networks_agree(network: nn.Module, images: torch.Tensor) -> None:
    snn = fitted(network, images)
    whole = next(snn.simulate(images, T)).output
    for chunk in (1, 3):
        torch.testing.assert_close(next(snn.simulate(images, T, chunk=chunk)).output, whole)


def test_it_keeps_the_neuron_of_the_recipe(network: nn.Module, images: torch.Tensor) -> None:
    recipe = {"preset": "spikemark", "correction": {"name": "temporal-bias", "images": 60}}
    snn = convert(network, recipe, images, time_steps=T).at(T)
    neuron = next(iter(snn.layers.values())).neuron
    assert isinstance(neuron, TimedBias)
    assert neuron.inner == Signed(4, 0.0, 4)


@pytest.mark.parametrize("preset", ["delay-spike", "tdif"])
def test_other_neurons_are_refused(preset: str, network: nn.Module, images: torch.Tensor) -> None:
    with pytest.raises(RecipeError, match="follows neurons that fire step by step"):
        convert(network, {"preset": preset, "correction": "temporal-bias"}, images, time_steps=T)


@pytest.mark.parametrize("settings", [{"rate": 0.0}, {"rate": 1.5}, {"rounds": 0}, {"images": 0}])
def test_bad_parameters_are_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
        TemporalBias(**settings)
