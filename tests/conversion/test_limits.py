"""The limit of every recipe is the ANN, for every activation that converts.

One layer against the closed form: inside, at and beyond the bound of the activation. What a recipe
clips by design is stated by the fitted layer (`SpikingLayer.largest`), why by the recipe
(`Recipe.floors`), and the law knows both. Two layers: the distance to the ANN falls with t. Staircases
(QCFS, whole numbers) converge to the clipped line that they round, which is within half a step of them.
"""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import RecipeError, convert
from conversion.converted import Converted
from conversion.graph.activations import QCFS, IntegerActivation
from conversion.network import SpikingNetwork
from conversion.recipes import recipe_from, recipe_names

RECIPES = [name for name in recipe_names() if name != "ptq"]
T = {"tdif": 64, "fs": 64, "msat": 512, "msat-vgg": 512}  # else 128


class Call(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def qcfs() -> nn.Module:
    return QCFS(4, start=2.0)


def line_up_to(bound: float | None, slope: float = 0.0) -> Callable[[Tensor], Tensor]:
    return lambda z: torch.where(z > 0, z.clamp(max=bound) if bound else z, slope * z)


# activation, and what its limit is
ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], Callable[[Tensor], Tensor]]] = {
    "ReLU": (nn.ReLU, line_up_to(None)),
    "ReLU6": (nn.ReLU6, line_up_to(6)),
    "Hardtanh": (lambda: nn.Hardtanh(0, 2.5), line_up_to(2.5)),
    "clamp": (lambda: Call(lambda x: x.clamp(0, 3)), line_up_to(3)),
    "clamp from below": (lambda: Call(lambda x: torch.clamp(x, min=0)), line_up_to(None)),
    "clamp_min": (lambda: Call(lambda x: x.clamp_min(0.0)), line_up_to(None)),
    "clip": (lambda: Call(lambda x: torch.clip(x, 0.0, 1.5)), line_up_to(1.5)),
    "hardtanh": (lambda: Call(lambda x: F.hardtanh(x, 0.0, 4.0)), line_up_to(4)),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.1), line_up_to(None, 0.1)),
    "PReLU": (lambda: nn.PReLU(init=0.3), line_up_to(None, 0.3)),
    "QCFS": (qcfs, line_up_to(2)),
    "integer": (lambda: IntegerActivation(4), line_up_to(4)),
}


def converted(network: nn.Module, name: str | dict[str, str], images: Tensor) -> Converted | None:
    """None where the recipe refuses the activation by name, before any work."""
    try:
        return convert(network, name, images)
    except RecipeError as error:
        if "layer '1" not in str(error):
            raise
        return None


def fitted(snn: Converted, t: int) -> SpikingNetwork:
    """The network that answers at t."""
    inner = snn.at(t)
    assert isinstance(inner, SpikingNetwork)
    return inner


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reach", [10.0, 1.2], ids=["calibrated beyond the bound", "calibrated below it"])
@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("name", RECIPES)
def test_one_layer_ends_at_the_closed_form(name: str, kind: str, reach: float) -> None:
    make, limit = ACTIVATIONS[kind]
    network = nn.Sequential(nn.Linear(1, 1, bias=False), make(), nn.Linear(1, 1, bias=False)).eval()
    for index in (0, 2):
        nn.init.ones_(network[index].weight)
    # One output has no classes to be sure of, so no image ends early here.
    recipe = {"preset": name, "exit": "none"} if recipe_from(name).exit.name != "none" else name
    snn = converted(network, recipe, torch.linspace(-2, reach, 241)[:, None])
    if snn is None:
        return
    t = T.get(name, 128)
    # Not whole numbers of steps: `srp` silences neurons whose membrane is 0 when it looks.
    x = torch.tensor([-1.0, 0.0, 0.47, 1.13, 1.57, 2.03, 2.47, 2.97, 4.1, 6.0, 7.1, 9.3])[:, None]
    (readout,) = snn.simulate(x, (t,), chunk=7)
    (layer,) = fitted(snn, t).layers.values()
    largest = float(layer.largest.max())
    expected = limit(x).clamp(min=-largest, max=largest)
    # Rounding, the first steps, and a fitted shift of half a spike.
    near = 0.02 * max(float(expected.abs().max()), 1.0)
    near += layer.neuron.resolution * float(layer.threshold.max())  # of a finite number of levels
    steady = (
        largest if math.isinf(largest) else largest * layer.neuron.steady_per_step / layer.neuron.max_per_step
    )
    whole = expected.abs() <= steady
    torch.testing.assert_close(readout.output[whole], expected[whole], rtol=0, atol=near)
    assert (readout.output[~whole] <= expected[~whole] + near).all()
    assert (readout.output[~whole] >= steady - near).all()
    # Where the calibration images reach, the limit is the ANN.
    inside = whole & (x.abs() <= reach) & (limit(x).abs() <= 0.9 * float(limit(torch.tensor(reach))))
    with torch.no_grad():
        ann = network(x)
    half_a_step = {"QCFS": 0.25, "integer": 0.5}.get(kind, 0.0)
    assert (readout.output - ann)[inside].abs().max() <= half_a_step + near


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["ReLU", "clip", "PReLU"])
@pytest.mark.parametrize("name", RECIPES)
def test_two_layers_come_nearer_with_t(name: str, kind: str) -> None:
    torch.manual_seed(0)
    make, _ = ACTIVATIONS[kind]
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), make()),
        *(nn.Conv2d(8, 8, 3, padding=1), make()),
        *(nn.Flatten(), nn.Linear(288, 4)),
    ).eval()
    with torch.no_grad():
        network[0].weight.mul_(6)  # far beyond the bounds
        network[2].weight.mul_(2)
    images = torch.randn(12, 3, 6, 6)
    snn = converted(network, name, images)
    if snn is None:
        return
    with torch.no_grad():
        ann = network(images)
    first, middle, end = (
        float((readout.output - ann).norm() / ann.norm())
        for readout in snn.simulate(images, (1, 16, T.get(name, 128)))
    )
    floor = 0.12 if recipe_from(name).floors else 0.06
    assert end <= floor
    assert end <= max(first, floor / 2)
    assert end <= 1.1 * middle + floor / 4


def test_a_bound_holds_in_any_chunk_and_with_more_channels() -> None:
    """Differential coding has no bound of its own: the output stops at the activation's."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 16, 1), nn.ReLU6(), nn.Conv2d(16, 16, 1), nn.ReLU6()).eval()
    with torch.no_grad():
        network[0].weight.mul_(20)
        network[2].weight.mul_(4)
    images = torch.randn(8, 2, 4, 4)
    snn = convert(network, "dcgs", images)
    runs = [list(snn.simulate(images, (1, 5, 64), chunk=chunk)) for chunk in (1, 5, 64)]
    for readouts in zip(*runs, strict=True):
        for other in readouts[1:]:
            torch.testing.assert_close(other.output, readouts[0].output, rtol=1e-4, atol=1e-4)
        assert float(readouts[0].output.max()) <= 6 + 1e-2
    with torch.no_grad():
        torch.testing.assert_close(runs[0][-1].output, network(images), rtol=0, atol=0.1)


def test_recipes_say_how_many_time_steps_they_can_run() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    images = torch.randn(8, 3)
    snn = convert(network, "tdif", images)
    with torch.no_grad():
        ann = network(images)
    for t in (20, 24, 53, 64, 100, 127):  # 24 digits are all that a float32 has; more of them do no harm
        torch.testing.assert_close(snn(images, t), ann, rtol=1e-5, atol=1e-5)
    with pytest.raises(
        RecipeError, match="'tdif': neuron 'temporal-weight' runs 127 time steps at most, got 256"
    ):
        snn(images, 256)
