"""Presets for networks trained to be converted, on such networks and on others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from conversion import convert, recipe_from
from conversion.graph.activations import QCFS
from conversion.initial import Fraction, Offset, Residual, Zero
from conversion.neurons import Integer, IntegrateAndFire, Signed
from conversion.scales import Learned

PARTS = {
    "qcfs": (IntegrateAndFire(), Fraction(0.5)),
    "srp": (IntegrateAndFire(), Residual(tau=4)),
    "cos": (IntegrateAndFire(), Offset(rho=4, rounds=1)),
    "fastsnn": (Signed(gamma=1, lower=-1e-3, back=1), Fraction(0.5)),
    "ilif": (Integer(most=4, decay=1.0), Zero()),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts(name: str) -> None:
    recipe = recipe_from(name)
    assert (recipe.neuron, recipe.initial) == PARTS[name]
    assert recipe.scale == Learned()
    assert recipe.retrains
    assert recipe.group == "retrained"


@pytest.mark.parametrize("name", PARTS)
def test_with_another_scale_they_leave_the_ann_alone(name: str) -> None:
    recipe = recipe_from({"preset": name, "scale": "percentile"})
    assert not recipe.retrains
    assert recipe.group == ("multi-level" if name == "fastsnn" else "binary")
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    inputs = torch.randn(40, 6, dtype=torch.float64)
    (readout,) = convert(network, recipe, inputs).simulate(inputs, (256,))
    expected = network(inputs).detach()
    tolerance = 0.1 if name == "srp" else 0.03  # it silences some neurons whose activation is just above 0
    assert float((readout.output - expected).abs().mean()) < tolerance * float(expected.std())


@pytest.fixture
def trained() -> nn.Module:
    torch.manual_seed(1)
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Linear(8, 8), QCFS(3, 0.8)]
        nn.init.normal_(layers[-2].weight, 0, 0.7)
    return nn.Sequential(*layers, nn.Linear(8, 3)).double().eval()


def test_taking_spikes_back_gives_the_quantised_ann_at_its_number_of_levels(trained: nn.Module) -> None:
    """Hu et al. 2023: T = 2^b - 1 steps for b bits; what remains is unevenness at the end of the window."""
    inputs = torch.randn(60, 8, dtype=torch.float64)
    expected = trained(inputs).detach()

    def error(recipe: str) -> float:
        (readout,) = convert(trained, recipe, inputs).simulate(inputs, (3,))
        return float((readout.output - expected).abs().mean())

    assert error("fastsnn") < 0.5 * error("qcfs")


def test_steps_before_the_readout_do_not_change_what_is_read_out_at_rest(images: Tensor) -> None:
    """A network of one layer has constant input: nothing is uneven, so srp and cos correct nothing."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), QCFS(4, 1.0), nn.Flatten(), nn.Linear(4 * 36, 3)).double()
    outputs = [
        next(iter(convert(network, name, images).simulate(images, (4,)))) for name in PARTS if name != "ilif"
    ]
    for readout in outputs:
        torch.testing.assert_close(readout.output, network(images).detach())
    assert [readout.t_total for readout in outputs] == [4, 8, 8, 4]
