"""Thresholds of tracking neurons: by maximum, quantile or least squares, all of them without a T."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert, recipe_from
from conversion.recipes import KINDS
from conversion.search import NumberRange, search_ranges

RULES: dict[str, Any] = {
    "maximum": "full-range",
    "quantile": {"name": "full-range", "p": 0.995},
    "least squares": "nearest-levels",
    "least squares of four steps": {"name": "nearest-levels", "steps": 4},
}


def mean_squared_error(a: torch.Tensor, threshold: torch.Tensor, most: int) -> float:
    sent = (a / threshold + 0.5).floor().clamp(-most, most) * threshold
    return float((sent - a).square().mean())


@pytest.mark.parametrize("function", [F.relu, F.silu, torch.tanh], ids=lambda f: f.__name__)
@pytest.mark.parametrize("steps", [1, 3])
def test_no_other_threshold_has_a_smaller_error(function: Any, steps: int) -> None:
    class Layer(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(x)

    x = torch.randn(400, 5) * torch.tensor([0.5, 1.0, 2.0, 3.0, 4.0])
    scale = {"name": "nearest-levels", "steps": steps}
    snn = convert(Layer().eval(), {"preset": "tracking", "scale": scale, "neuron": {"gamma": 3}}, x)
    (layer,) = snn.layers.values()
    a, most = function(x), 3 * steps
    for channel, threshold in enumerate(layer.threshold.flatten()):
        found = mean_squared_error(a[:, channel], threshold / steps, most)
        tops = float(a[:, channel].abs().max()) * torch.linspace(0.05, 1, 60)
        best = min(mean_squared_error(a[:, channel], top / most, most) for top in tops)
        assert found <= 1.05 * best


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_tracking_ends_at_the_ann_or_says_what_it_clips(rule: Any) -> None:
    torch.manual_seed(0)
    ann = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 3), nn.ReLU6(), nn.Flatten())
    ann = ann.append(nn.Linear(32, 4)).eval()
    images = torch.randn(32, 3, 6, 6)
    recipe = recipe_from({"preset": "tracking", "scale": rule})
    assert not recipe.needs_time_steps
    (readout,) = convert(ann, recipe, images).simulate(images, 256)
    with torch.no_grad():
        expected = ann(images)
    error = float((readout.output - expected).norm() / expected.norm())
    assert error < (0.1 if recipe.floors else 0.01)
    assert bool(recipe.floors) == (rule != "full-range")


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_tuning_finds_ranges_of_every_part(rule: Any) -> None:
    recipe = recipe_from({"preset": "tracking", "scale": rule})
    ranges = {kind: search_ranges(getattr(recipe, kind), 8) for kind in KINDS}
    assert ranges["neuron"]["gamma"] == NumberRange(1, 15, integer=True)
    assert ranges["initial"]["fraction"] == NumberRange(0.0, 1.0)
    expected = "p" if recipe.scale.name == "full-range" else "steps"
    assert getattr(recipe.scale, expected) in ranges["scale"][expected]
