"""Thresholds with room: fewer neurons fall behind, and nothing is lost in the end."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert, recipe_from


def lagging(ann: nn.Sequential, scale: dict[str, Any], images: torch.Tensor) -> float:
    """Share of the second layer's neurons and steps whose output is not t F(mean input) to half a spike."""
    snn = convert(ann, {"preset": "tracking", "neuron": {"gamma": 1}, "scale": scale}, images)
    first, second = (layer.threshold for layer in snn.layers.values())
    arrived, sent, behind, steps = 0, 0, [], 16
    for t in range(1, steps + 1):
        drive = (t * F.relu(ann[0](images)) / first + 0.5).floor().clamp(max=t) * first  # of a constant
        arrived = ann[2](drive) + (t - 1) * ann[2].bias  # the bias comes in every step
        goal = F.relu(arrived)
        sent = sent + ((goal - sent) / second + 0.5).floor().clamp(-1, 1) * second
        behind.append(((goal - sent).abs() > 0.501 * second).float().mean())
    return float(torch.stack(behind).mean())


@torch.no_grad()
def test_with_room_fewer_neurons_lag_behind() -> None:
    torch.manual_seed(0)
    ann = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU()).eval()
    ann[2].weight *= 4
    images = torch.randn(64, 6)
    without = lagging(ann, {"name": "full-range"}, images)
    assert without > 0.02
    assert lagging(ann, {"name": "headroom", "room": 1.6}, images) < 0.9 * without
    assert lagging(ann, {"name": "full-range", "p": 0.9}, images) > without


def test_a_bounded_activation_keeps_its_bound_though_thresholds_have_room() -> None:
    calibration = torch.tensor([[1.0, 4.0, 9.0]])
    scale = {"name": "headroom", "room": 2.0}
    snn = convert(nn.ReLU6(), {"preset": "tracking", "neuron": {"gamma": 2}, "scale": scale}, calibration)
    (layer,) = snn.layers.values()
    assert layer.threshold.flatten().tolist() == pytest.approx([1.0, 4.0, 6.0])
    for readout in snn.simulate(calibration, (1, 5, 64)):
        error = readout.output - calibration.clamp(max=6)
        assert bool((error.abs() <= layer.threshold / (2 * readout.t) + 1e-5).all())


def test_room_is_not_less_than_none() -> None:
    with pytest.raises(ValueError, match=r"room must be at least 1, got 0\.5"):
        recipe_from({"preset": "tracking", "scale": {"name": "headroom", "room": 0.5}})


def test_only_a_quantile_leaves_an_error_that_stays() -> None:
    recipe = recipe_from({"preset": "tracking", "scale": "headroom"})
    assert not recipe.floors
    assert not recipe.needs_time_steps
    (floor,) = recipe_from({"preset": "tracking", "scale": {"name": "headroom", "p": 0.99}}).floors
    assert "1.3 times their quantile 0.99" in floor


def test_other_rules_keep_to_the_bound_and_so_do_neurons_that_rectify() -> None:
    calibration = torch.tensor([[1.0, 4.0, 9.0]])
    recipes: list[dict[str, Any]] = [
        {"preset": "tracking", "neuron": {"gamma": 2}, "scale": "maximum"},
        {"preset": "burst", "neuron": {"gamma": 2}, "scale": {"name": "headroom", "room": 2.0}},
    ]
    for recipe in recipes:
        (layer,) = convert(nn.ReLU6(), recipe, calibration).layers.values()
        assert bool((layer.threshold <= 3.0).all())
