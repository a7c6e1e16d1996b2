import pytest
import torch
from torch import nn

from conversion import convert
from conversion.scales import Balance


def naive(network: nn.Sequential, images: torch.Tensor, steps: int, factor: float, channels: bool):
    """Thresholds of an alternation of affine modules and ReLUs, one step and one layer at a time."""
    found: list[torch.Tensor] = []
    stages: list[list[nn.Module]] = [[]]
    for module in network:
        if isinstance(module, nn.ReLU):
            stages.append([])
        else:
            stages[-1].append(module)
    for depth in range(len(stages) - 1):
        membranes: list = [0.0] * depth
        largest = None
        for _ in range(steps):
            x = images
            for layer in range(depth + 1):
                for module in stages[layer]:
                    x = module(x)
                if layer < depth:
                    theta = found[layer].view(1, -1, *[1] * (x.ndim - 2))
                    membranes[layer] = membranes[layer] + x
                    fired = (membranes[layer] >= theta).float() * theta
                    membranes[layer] = membranes[layer] - fired
                    x = fired
            axes = [a for a in range(x.ndim) if a != 1] if channels else list(range(x.ndim))
            now = x.amax(axes).reshape(-1)
            largest = now if largest is None else torch.maximum(largest, now)
        found.append(largest.clamp(min=0) * factor)
    return found


@pytest.fixture
def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 3),
    )  # fmt: skip


@pytest.mark.parametrize(("factor", "channels"), [(1.0, False), (0.8, False), (0.7, True)])
@torch.no_grad()
def test_thresholds_are_the_largest_currents_of_a_naive_loop(network, calibration, factor, channels) -> None:
    images = calibration.float()[:12]
    scale = {"name": "balance", "factor": factor, "per_channel": channels, "time_steps": 9, "images": 10}
    snn = convert(network, {"preset": "thbal", "scale": scale}, list(images.split(5)))
    expected = naive(network, images[:10], 9, factor, channels)
    for found, largest in zip(snn.thresholds.values(), expected, strict=True):
        assert torch.allclose(found.flatten(), largest.where(largest > 0, found.flatten()), rtol=1e-4)


def test_half_the_factor_is_not_half_the_threshold_in_deeper_layers(network, calibration) -> None:
    images = calibration.float()
    whole, half = (
        list(convert(network, {"preset": "thbal", "scale": {"factor": f}}, images).thresholds.values())
        for f in (1.0, 0.5)
    )
    assert torch.allclose(half[0], whole[0] / 2)
    assert not torch.allclose(half[2], whole[2] / 2)


@pytest.mark.parametrize("field", ["factor", "time_steps", "images"])
def test_mistakes_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be"):
        Balance(**{field: 0})
