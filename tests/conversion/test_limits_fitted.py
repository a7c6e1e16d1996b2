"""Parts that fit thresholds anew keep below the bound of the activation, as the first rule does."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conversion import SpikingNetwork, convert
from conversion.recipes import recipe_names

BOUND = 2.5  # where the calibration images reach it in one channel and not in another
T = 32
RAISED = {"name": "spike-compression", "ratio": 50.0}  # high thresholds at any price
SPECS: list[Any] = [
    *(name for name in recipe_names() if name.startswith(("spikemark", "adafire"))),
    {"preset": "burst", "allocation": RAISED},
    {"preset": "opi", "allocation": RAISED},
    {"preset": "hmt", "allocation": RAISED},
    {"preset": "dcgs", "allocation": RAISED},
    {"preset": "adafire", "allocation": {"compression": 50.0}},
]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    found = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.Hardtanh(0, BOUND), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.Hardtanh(0, BOUND), nn.Flatten(), nn.Linear(72, 4)),
    ).eval()
    with torch.no_grad():
        found[0].weight.mul_(3)
        found[3].weight.mul_(3)
    return found


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(24, 3, 6, 6, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_no_layer_exceeds_the_bound(spec: Any, network: nn.Module, images: Tensor) -> None:
    snn = convert(network, spec, images).at(T)
    assert isinstance(snn, SpikingNetwork)
    for layer in snn.layers.values():
        assert float(layer.largest.max()) <= BOUND * (1 + 1e-6)
    with torch.no_grad():
        ann = network(3 * images)  # far beyond what was seen in calibration
    (readout,) = snn.simulate(3 * images, (T,))
    assert float((readout.output - ann).norm() / ann.norm()) < 0.2


def test_without_a_bound_thresholds_climb_as_before(images: Tensor) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4)).eval()
    before = convert(plain, "burst", images).at(T).layers
    after = convert(plain, {"preset": "burst", "allocation": RAISED}, images).at(T).layers
    for name, layer in before.items():
        assert layer.highest_threshold == float("inf")
        assert (after[name].threshold > layer.threshold).any()
