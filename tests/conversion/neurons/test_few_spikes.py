"""Few spikes: binary digits of a ReLU; fitted coefficients of other functions, as near as the layer says."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import RecipeError, convert, load
from conversion.functions.few_spikes import fit_coefficients
from conversion.neurons import FewSpikes


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_a_relu_is_sent_as_its_binary_digits(steps: int) -> None:
    z = torch.arange(-64, 192, dtype=torch.float64) / 128
    neuron = FewSpikes()
    spikes, _ = neuron.scan(z[None], steps, neuron.start(torch.zeros_like(z)))
    for number, train in zip(z.tolist(), spikes.T.tolist(), strict=True):
        left = max(min(Fraction(number), Fraction(1) - Fraction(1, 2**steps)), Fraction(0))
        for t, sent in enumerate(train, 1):
            digit, left = divmod(left, Fraction(1, 2**t))
            assert sent == steps * float(digit) / 2**t
        assert left < Fraction(1, 2**steps)


def test_steps_are_the_papers_with_coefficients_of_ones_own() -> None:
    neuron = FewSpikes((0.5, 0.25, -1.0), (0.4, -0.3, 0.0), (0.7, -0.2, 0.1))
    z = torch.linspace(-1, 2, 40, dtype=torch.float64)
    spikes, _ = neuron.scan(z[None].expand(3, -1), 3, neuron.start(torch.zeros_like(z)))
    for index, value in enumerate(z.tolist()):
        for t in range(3):
            fires = value >= neuron.thresholds[t]
            assert spikes[t, index] == pytest.approx(3 * neuron.values[t] * fires)
            value -= neuron.resets[t] * fires
    with pytest.raises(ValueError, match="fitted for 3 steps, got 4"):
        neuron.scan(z[None], 4, neuron.start(torch.zeros_like(z)))


@pytest.mark.parametrize(
    "function", [F.silu, F.gelu, torch.sigmoid, F.elu, torch.sin, lambda x: x, F.leaky_relu]
)
def test_a_fit_is_at_least_as_near_as_a_staircase(function) -> None:
    x = 2 * torch.randn(300, dtype=torch.float64)
    way = float(function(x.sort().values).diff().abs().sum())
    losses = [fit_coefficients(function, x, steps, iterations=0).loss for steps in (1, 4, 16, 64)]
    assert losses == sorted(losses, reverse=True)
    for steps, loss in zip((1, 4, 16, 64), losses, strict=True):
        assert loss**0.5 <= 1.1 * way / steps
    straight = fit_coefficients(lambda x: 3 * x - 1, x, 16, iterations=0)
    assert straight.loss**0.5 < 1e-3


def test_sixteen_steps_are_nearer_to_swish_than_the_published_ones() -> None:
    """Published coefficients of 16 steps: a root mean square of 0.051 on N(0, 2)."""
    x = 2 * torch.randn(512)
    found = fit_coefficients(F.silu, x, 16, iterations=0)
    assert found.loss**0.5 < 0.051
    refined = fit_coefficients(F.silu, x, 6, iterations=40)
    assert refined.loss <= fit_coefficients(F.silu, x, 6, iterations=0).loss
    spikes = sum(float(value) != 0 for value in found.values)
    assert spikes <= 16


def network(activation: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3), activation, nn.MaxPool2d(2), nn.Conv2d(6, 6, 1), activation),
        *(nn.Flatten(), nn.Linear(24, 3)),
    ).eval()


@pytest.mark.parametrize("activation", [nn.SiLU(), nn.LeakyReLU(0.2), nn.Sigmoid()], ids=str)
def test_a_layer_says_how_far_it_is_from_its_function(activation: nn.Module, tmp_path) -> None:
    ann, images = network(activation), torch.randn(8, 3, 6, 6)
    recipe = {"preset": "fs", "allocation": {"iterations": 5}}
    snn = convert(ann, recipe, images, time_steps=(3, 10))
    far, near = snn.simulate(images, (3, 10))
    assert (far.t_total, near.t_total) == (6, 20)  # K steps for each of two layers
    with torch.no_grad():
        expected = ann(images)
    assert (near.output - expected).norm() < 0.1 * expected.norm()
    assert (near.output - expected).norm() < (far.output - expected).norm()
    layer = snn.at(10).layers["1"]
    neuron = layer.neuron
    assert isinstance(neuron, FewSpikes)
    with torch.no_grad():
        x = ann[0](images)
    spikes, _ = neuron.scan((x / layer.threshold)[None], 10, neuron.start(torch.zeros_like(x)))
    errors = (spikes.mean(0) * layer.threshold - activation(x)).abs() / layer.threshold
    assert float(errors.mean()) < neuron.error
    assert float(errors.max()) < 3 * neuron.error + 0.05  # between the samples, too
    snn.save(tmp_path / "network.pt")
    (again,) = load(tmp_path / "network.pt").simulate(images, 10)
    assert torch.equal(again.output, near.output)


def test_what_it_cannot_fit_is_refused_by_name() -> None:
    images = torch.randn(4, 3, 6, 6)
    with pytest.raises(RecipeError, match="'fs uniform': neuron 'few-spikes' needs coefficients"):
        convert(network(nn.SiLU()), {"preset": "fs", "allocation": "uniform"}, images)
    slopes = nn.PReLU(6)
    slopes.weight.data = torch.linspace(0.1, 0.6, 6)
    with pytest.raises(RecipeError, match=r"layer '1' \(.*PReLU\): .* one function for all channels"):
        convert(network(slopes), "fs", images, time_steps=4)
    with pytest.raises(RecipeError, match="allocation 'few-spikes' fits neuron 'few-spikes', got 'burst'"):
        convert(network(nn.ReLU()), {"preset": "burst", "allocation": "few-spikes"}, images, time_steps=4)
