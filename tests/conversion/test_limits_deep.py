"""The limit of two layers, in closed form: the ANN, clipped at what each fitted layer says that it can send.

Recipes that state no floor can send everything that the calibration images bring about.
"""

import copy

import pytest
import torch
from torch import Tensor, nn

from conversion import SpikingNetwork, convert
from conversion.converted import Converted
from conversion.graph.activations import QCFS
from conversion.neurons import Neuron
from conversion.plan.layer import SpikingLayer
from conversion.recipes import recipe_from, recipe_names

BOUND = 1.5
OURS = ("spikemark", "spikemark-signed", "spikemark-shrinking", "spikemark-shrinking-signed")
# Else 256.
T = {"tdif": 100, "fs": 100, **dict.fromkeys(("calib-adv", "dualphase", *OURS), 64)}
# Floors without a closed form. Of what is above the largest steady value, a part is sent while it varies.
LOOSE = {"silences": 0.15, "refits": 0.15, "ends an image": 0.15, "clips steady": 0.3, "rounds": 0.1}
QUICKER = {"calib-adv": {"iterations": 5}, "dualphase": {"iterations": 5}}


class Clipped(nn.Module):
    """An activation, clipped at the largest steady value that a fitted layer sends, channel by channel."""

    def __init__(self, activation: nn.Module, layer: SpikingLayer) -> None:
        super().__init__()
        steady = layer.neuron.steady_per_step / layer.neuron.max_per_step if layer.neuron.bounded else 1.0
        self.activation, self.largest = activation, layer.largest * steady

    def forward(self, x: Tensor) -> Tensor:
        return torch.minimum(self.activation(x), self.largest)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(24, 3, 3, 3, generator=torch.Generator().manual_seed(1))


def network(activation: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(
        *(nn.Conv2d(3, 8, 2), copy.deepcopy(activation), nn.Conv2d(8, 8, 1), copy.deepcopy(activation)),
        *(nn.Flatten(), nn.Linear(32, 4)),
    )
    with torch.no_grad():
        made[0].weight.mul_(3)  # beyond the bound in some channels
    return made.eval()


def layers_at(snn: Converted, t: int) -> list[SpikingLayer]:
    inner = snn.at(t)
    inner = inner if isinstance(inner, SpikingNetwork) else inner.at(t)
    assert isinstance(inner, SpikingNetwork)
    return list(inner.layers.values())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bounded", [True, False], ids=["bounded", "ReLU"])
@pytest.mark.parametrize("name", [name for name in recipe_names() if name != "ptq"])
def test_two_layers_end_at_the_clipped_ann(name: str, bounded: bool, images: Tensor) -> None:
    recipe = recipe_from({"preset": name, **({"correction": QUICKER[name]} if name in QUICKER else {})})
    line: nn.Module = nn.Hardtanh(0, BOUND) if bounded else nn.ReLU()
    if recipe.retrains and not bounded:
        return  # they need activations that have a bound
    trained = QCFS(4, start=BOUND) if recipe.retrains else line
    snn, t = convert(network(trained), recipe, images), T.get(name, 256)
    ann = network(line)
    limit = copy.deepcopy(ann)
    for index, layer in zip((1, 3), layers_at(snn, t), strict=True):
        limit[index] = Clipped(line, layer)
    seen = 3 * images if bounded else images  # the bound holds beyond what was seen, too
    (readout,) = snn.simulate(seen, (t,), chunk=100)
    with torch.no_grad():
        expected, exact = limit(seen), ann(images)
        near = limit(images)
    known = [most for start, most in LOOSE.items() if any(floor.startswith(start) for floor in recipe.floors)]
    error = float((readout.output - expected).norm() / expected.norm())
    assert error < max(known, default=0.04)
    if not recipe.floors:
        assert float((near - exact).norm() / exact.norm()) < 0.01


@pytest.mark.parametrize("name", [name for name in recipe_names() if name != "ptq"])
def test_neurons_clip_only_where_they_say_so(name: str) -> None:
    neuron = recipe_from(name).neuron
    assert isinstance(neuron, Neuron)
    clips, rounds = neuron.steady_per_step < neuron.max_per_step, neuron.resolution > 0
    assert (clips or rounds) == bool(neuron.floor)
