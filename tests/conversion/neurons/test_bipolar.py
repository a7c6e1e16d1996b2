"""ST-BIF: once its input has settled, a neuron has said the quantised value, a network the quantised ANN."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conversion import convert
from conversion.convert import prepare
from conversion.neurons import BipolarIntegrateAndFire
from conversion.neurons.quantiser import quantise_activation
from conversion.scales import least_squares_thresholds


def sent_by(neuron: BipolarIntegrateAndFire, rest: Tensor, current: Tensor) -> Tensor:
    state = neuron.at_rest(rest, neuron.start(torch.full_like(rest, 0.5)))
    return neuron.scan(current, len(current), state)[0]


@pytest.mark.parametrize(("levels", "below"), [(1, 0), (4, 0), (7, 7), (3, 2)])
def test_settled_input_ends_at_the_quantised_value_whatever_came_before(levels: int, below: int) -> None:
    rest = torch.randn(500, dtype=torch.float64)
    transient = rest + 3 * torch.randn(20, 500, dtype=torch.float64)
    silence = rest.repeat(levels + below, 1)  # as many steps as there are levels between the ends
    spikes = sent_by(BipolarIntegrateAndFire(levels, below), rest, torch.cat([transient, silence]))
    assert set(spikes.flatten().tolist()) <= {-1.0, 0.0, 1.0}
    assert spikes.cumsum(0).max() == levels
    assert spikes.cumsum(0).min() == -below
    settled = rest + (transient - rest).sum(0)
    assert torch.equal(spikes.sum(0), (settled + 0.5).floor().clamp(-below, levels))


def test_a_neuron_that_has_said_its_value_is_silent() -> None:
    rest = torch.linspace(-2, 9, 300, dtype=torch.float64)
    spikes = sent_by(BipolarIntegrateAndFire(6), rest, rest.repeat(30, 1))
    assert spikes[:6].any()
    assert not spikes[6:].any()


class Quantised(nn.Module):
    """An activation rounded to levels, as the quantised ANN rounds it."""

    def __init__(self, activation: Any, threshold: Tensor, levels: int, signed: bool) -> None:
        super().__init__()
        self.activation, self.top, self.levels, self.signed = activation, threshold * levels, levels, signed

    def forward(self, x: Tensor) -> Tensor:
        return quantise_activation(self.activation(x), self.top, self.levels, self.signed)


@pytest.mark.parametrize("kind", ["relu", "relu6", "silu", "gelu", "leaky_relu", "sigmoid"])
@pytest.mark.parametrize("levels", [3, 15])
def test_a_network_ends_at_the_quantised_ann(kind: str, levels: int) -> None:
    names = {"relu": nn.ReLU, "relu6": nn.ReLU6, "silu": nn.SiLU, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}
    make = names.get(kind, nn.LeakyReLU)
    ann = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), make(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), make()),
        *(nn.AvgPool2d(2), nn.Conv2d(8, 6, 1), make(), nn.Flatten(), nn.Linear(6, 4)),
    )
    ann = ann.double().eval()
    images = 2 * torch.randn(8, 3, 7, 7, dtype=torch.float64)
    snn = convert(ann, {"preset": "st-bif", "neuron": {"levels": levels}}, images)
    quantised = copy.deepcopy(ann)
    for index, layer in snn.layers.items():
        signed = kind in ("silu", "gelu", "leaky_relu")
        assert layer.neuron == BipolarIntegrateAndFire(levels, levels if signed else 0)
        quantised[int(index)] = Quantised(ann[int(index)], layer.threshold, levels, signed)
    shown = torch.cat([images, 3 * images])  # beyond what was seen, too
    with torch.no_grad():
        expected = quantised(shown)
    early, settled = snn.simulate(shown, (1, 60 * levels), chunk=16)
    torch.testing.assert_close(settled.output, expected, rtol=1e-4, atol=1e-4)
    assert (early.output - expected).norm() > 0.02 * expected.norm()
    assert settled.t_total == 60 * levels + 1


def test_thresholds_are_those_of_the_quantised_ann() -> None:
    ann = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(200, 4)).eval()
    images = torch.randn(16, 3, 7, 7)
    (layer,) = convert(ann, "st-bif", images).layers.values()
    (statistics,) = prepare(ann, images).statistics.values()
    theirs = least_squares_thresholds(statistics, 15)
    torch.testing.assert_close(15 * layer.threshold.flatten(), theirs, rtol=0.02, atol=0)  # a finer grid
