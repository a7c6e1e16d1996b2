import pytest
import torch
from torch import nn

from conversion import SpikingNetwork, convert
from conversion.corrections import TimedMatching
from conversion.neurons import IntegrateAndFire, Signed, TimedBias
from conversion.plan.layer import SpikingLayer

T = 4


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(60, 3, 6, 6, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)),
    ).eval()


def layers_of(network: nn.Module, images: torch.Tensor, correction: str) -> list[SpikingLayer]:
    snn = convert(network, {"preset": "spikemark-binary", "correction": correction}, images, time_steps=T).at(
        T
    )
    assert isinstance(snn, SpikingNetwork)
    return list(snn.layers.values())


def test_it_is_rate_matching_and_then_a_temporal_bias(network: nn.Module, images: torch.Tensor) -> None:
    """In the second layer, which sees the same spikes of the first whatever comes later."""
    matched, timed = (layers_of(network, images, name) for name in ("rate-matching", "timed-matching"))
    for one, other in zip(matched[:2], timed[:2], strict=True):
        for field in ("threshold", "initial", "offset"):
            assert torch.equal(getattr(one, field), getattr(other, field))
    assert timed[0].neuron == matched[0].neuron == matched[1].neuron == IntegrateAndFire()
    neuron = timed[1].neuron
    assert isinstance(neuron, TimedBias)
    assert neuron.inner == IntegrateAndFire()
    assert len(neuron.bias) == T
    with torch.no_grad():
        first = (network[0](images) + timed[0].offset) / timed[0].threshold
        spikes, _ = timed[0].neuron.scan(first[None], T, timed[0].start(first))
        current = torch.stack([network[2](step * timed[0].threshold) for step in spikes])
        activation = network[:4](images)

    def error(layer: SpikingLayer) -> float:
        driven = (current + layer.offset) / layer.threshold
        sent, _ = layer.neuron.scan(driven, T, layer.start(driven[0]))
        missing = (sent * layer.threshold).mean((1, 3, 4)) - activation.mean((0, 2, 3))
        return float(missing.abs().mean())

    assert error(timed[1]) < 0.8 * error(matched[1])


@pytest.mark.parametrize(
    ("preset", "inner"), [("spikemark-signed", Signed(lower=0.0)), ("spikemark-binary", IntegrateAndFire())]
)
def test_the_projects_recipes_of_single_spikes_have_it(preset: str, inner, network, images) -> None:
    with torch.no_grad():
        ann = network(images)
    errors = {}
    for correction in ("timed-matching", "rate-matching"):
        snn = convert(network, {"preset": preset, "correction": correction}, images, time_steps=T)
        errors[correction] = float((snn(images, T) - ann).norm() / ann.norm())
    assert errors["timed-matching"] < errors["rate-matching"]
    snn = convert(network, preset, images, time_steps=T).at(T)
    assert isinstance(snn, SpikingNetwork)
    first, *later = (layer.neuron for layer in snn.layers.values())
    assert first == inner
    assert {neuron.inner for neuron in later} == {inner}


@pytest.mark.parametrize("settings", [{"temporal": 0}, {"rate": 0.0}, {"images": 0}])
def test_bad_parameters_are_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
        TimedMatching(**settings)
