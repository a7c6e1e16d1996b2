import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from conversion import ConversionError, RecipeError, SpikingNetwork, convert
from conversion.convert import prepare
from conversion.corrections import Layerwise
from conversion.corrections.layerwise import channel_means, correct_bias, correct_potential
from conversion.corrections.weights import even_rate, fit_weights, objective
from conversion.fit import fit
from conversion.fitting.facts import Calibration
from conversion.fitting.spiking_pass import Arrival, SpikingPass
from conversion.neurons import Burst, IntegrateAndFire
from conversion.plan.layer import SpikingLayer


def fitted(prepared, plan) -> SpikingNetwork:
    """The network of a plan whose recipe does not depend on T."""
    facts = Calibration(plan, prepared.batches, prepared.statistics, None, plan.method.scale)
    return fit(plan.method, facts)


@pytest.fixture
def network(branchy) -> nn.Module:
    return branchy.float()


@pytest.fixture
def shown(calibration) -> Tensor:
    return calibration.float()


def run(network: nn.Module, images: Tensor, steps: int, rule, recipe="opi") -> dict[str, SpikingLayer]:
    prepared = prepare(copy.deepcopy(network), images)
    plan = prepared.plan(recipe)
    layers = fitted(prepared, plan).layers
    return SpikingPass(plan, layers, images, steps, rule).fit()


def test_bias_correction_brings_the_channel_means_together(network, shown) -> None:
    apart: list[tuple[float, float]] = []

    def gap(arrival: Arrival) -> float:
        return channel_means(arrival.activation - arrival.rate()).abs().max().item()

    def rule(arrival: Arrival) -> None:
        before = gap(arrival)
        for _ in range(6):
            correct_bias(arrival)
        apart.append((before, gap(arrival)))

    run(network, shown, 4, rule)
    assert max(before for before, _ in apart) > 0.02
    for before, after in apart:
        assert after < max(0.15 * before, 2e-3)


@pytest.mark.parametrize("per_channel", [False, True])
def test_potential_correction_removes_the_residual_where_nothing_clips(network, shown, per_channel) -> None:
    gaps: list[Tensor] = []

    def rule(arrival: Arrival) -> None:
        # Room above: nothing clips. One image: the mean over images is that image's.
        arrival.layer = replace(arrival.layer, neuron=Burst(100), threshold=arrival.layer.threshold * 0.2)
        correct_potential(arrival, per_channel)
        lacking = arrival.activation - arrival.rate()
        silent = arrival.rate() == 0
        gaps.append((channel_means(lacking) if per_channel else lacking).abs() * 8 / arrival.layer.threshold)
        assert per_channel or (silent <= (arrival.activation < arrival.layer.threshold / 4)).all()

    layers = run(network, shown[:1], 8, rule)
    assert max(float(gap.max()) for gap in gaps) <= 1 + 1e-4  # one spike of a neuron
    sizes = {layer.initial[0, 0].numel() > 1 for layer in layers.values()}
    assert sizes == {not per_channel}


def test_weight_calibration_lowers_its_objective_and_changes_nothing_else(network, shown) -> None:
    errors: list[tuple[float, float]] = []
    before = copy.deepcopy(network.state_dict())

    def rule(arrival: Arrival) -> None:
        first = objective(arrival)
        flags, shape = [p.requires_grad for p in arrival.parameters()], arrival.current.shape
        fit_weights(arrival, 40, 16, 3e-3)
        errors.append((first, objective(arrival)))
        assert [p.requires_grad for p in arrival.parameters()] == flags
        assert arrival.current.shape == shape
        assert not arrival.current.requires_grad

    run(network, shown, 4, rule)
    for first, last in errors:
        assert last <= first
    assert sum(last for _, last in errors) < 0.97 * sum(first for first, _ in errors)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("gamma", [1, 3])
@pytest.mark.parametrize("initial", [0.0, 0.5])
def test_even_rate_is_that_of_neurons_with_constant_current(gamma: int, initial: float) -> None:
    neuron = Burst(gamma) if gamma > 1 else IntegrateAndFire()
    current = torch.linspace(-2, 5, 1003).view(1, 1, -1)  # [B, C, ...]
    layer = SpikingLayer(
        neuron, torch.full((1, 1, 1), 0.7), torch.full((1, 1, 1), initial), torch.tensor(0.1)
    )
    driven = (current + 0.1) / layer.threshold
    spikes, _ = neuron.scan(driven[None], 6, neuron.start(layer.membrane(driven)))
    different = (even_rate(current, layer, 6) - spikes.mean(0) * 0.7).abs() > 1e-5
    assert different.float().mean() < 0.01  # rounding at the very edge of a step


def test_gradient_passes_steps_but_not_clips() -> None:
    layer = SpikingLayer(IntegrateAndFire(), torch.ones(1, 1), torch.zeros(1, 1))
    current = torch.tensor([[-0.5, 0.3, 0.8, 1.5]]).requires_grad_()
    even_rate(current, layer, 4).sum().backward()
    assert current.grad.tolist() == [[0, 1, 1, 0]]


def test_corrections_bring_the_network_closer_to_the_ann(network, shown, images) -> None:
    images = images.float()
    with torch.no_grad():
        expected = network(shown)
    errors = {}
    base = {"preset": "opi", "scale": "least-squares"}
    for label, correction in {
        "none": "none",
        "bias": "layerwise",
        "all": {"name": "layerwise", "potential": True, "weights": True, "iterations": 40},
    }.items():
        snn = convert(network, {**base, "correction": correction}, shown)
        (readout,) = snn.simulate(shown, [6])
        errors[label] = (readout.output - expected).square().mean().item()
    assert errors["bias"] < errors["none"]
    assert errors["all"] < errors["none"]


def test_images_of_another_size_need_potentials_by_channel(shown) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    larger = torch.randn(2, 3, 12, 12)
    recipe = {"preset": "opi", "correction": {"name": "layerwise", "potential": True}}
    neurons = convert(network, recipe, shown)
    neurons(shown[:2], 4)
    with pytest.raises(ConversionError, match=r"layer '1': .* fitted neuron by neuron .*per_channel: true"):
        neurons(larger, 4)
    recipe["correction"]["per_channel"] = True
    assert convert(network, recipe, shown)(larger, 4).shape == (2, 4)


def test_number_of_time_steps(network, shown) -> None:
    assert Layerwise().needs_time_steps
    assert not Layerwise(time_steps=4).needs_time_steps
    own = convert(network, {"preset": "opi", "correction": "layerwise"}, shown)
    other = convert(network, {"preset": "opi", "correction": {"name": "layerwise", "time_steps": 4}}, shown)
    for name, layer in own.at(4).layers.items():
        assert torch.equal(layer.offset, other.layers[name].offset)
    assert any((own.at(16).layers[n].offset != layer.offset).any() for n, layer in other.layers.items())


def test_weights_ahead_of_negative_activations_are_refused(shown) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(144, 2))
    recipe = {"preset": "spiking-yolo", "correction": {"name": "layerwise", "weights": True}}
    with pytest.raises(RecipeError, match=r"layer '1' has negative activations.*weights: false"):
        convert(network, recipe, shown)(shown, 4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"images": 0}, "images must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"time_steps": -1}, "time_steps must be positive"),
    ],
)
def test_mistakes_are_refused(values, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layerwise(**values)
