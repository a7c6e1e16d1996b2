"""All neurons in networks whose synapses the kernel runs, whether it fires them or not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from conversion.simulation.choice import use
from conversion.simulation.compiled.native import kernel

pytestmark = pytest.mark.skipif(kernel() is None, reason="no C compiler on this machine")


class Small(nn.Module):
    """A residual sum, a pool, two layers with weights that spikes reach; all in short binary fractions."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.head, self.slope = nn.Linear(64, 16), slope
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data.copy_(torch.randint(-12, 16, parameter.shape, generator=generator) / 64)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x), self.slope) if self.slope else F.relu(self.first(x))
        x = F.max_pool2d(F.relu(self.second(x) + x), 4)
        return self.head(x.flatten(1))


@pytest.fixture
def readouts() -> Callable[..., list[Any]]:
    images = torch.randint(-4, 8, (6, 3, 8, 8), generator=torch.Generator().manual_seed(1)) / 8

    def simulate(recipe: Any, time_steps: tuple[int, ...], compiled: bool) -> list[Any]:
        network = Small(0.25 if "spiking-yolo" in str(recipe) else 0.0).eval()
        snn = convert(network, recipe, images)
        for threshold, value in zip(snn.thresholds.values(), (0.5, 1.0), strict=True):
            threshold.fill_(value)
        with use("compiled" if compiled else "pytorch"):
            found = list(snn.simulate(images, time_steps))
        # The kernel sums what flows into both layers of neurons, and fires those that it knows. Layers that
        # count by their sum over the window alone run once, in PyTorch.
        kernels = found[-1].ran.layers
        compiled = compiled and not snn.fitted.sums.senders
        assert not compiled or sum(kernels.get(name, 0) for name in ("bytes", "bytes+pytorch")) >= 2
        assert compiled or snn.fitted.sums.senders or set(kernels) == {"pytorch"}
        return found

    return simulate


EXACT = {
    "signed": "snm",
    "bursts taken back": {"preset": "snm", "neuron": {"gamma": 3, "lower": 0.0, "back": 2}},
    "leaky": "spiking-yolo",
    "lossless leaky": {"preset": "spiking-yolo", "pooling": "lateral-inhibition", "initial": "fraction"},
    "graded": {"preset": "hmt", "neuron": {"levels": 4}},
    "graded, wider than a byte": "hmt",
    "integers": {"preset": "burst", "neuron": {"name": "integer", "most": 3}},
    "delayed": {"preset": "delay-spike", "pooling": "lateral-inhibition"},
    "differential": "dcgs",
}


@pytest.mark.parametrize("name", EXACT)
def test_the_same_to_the_last_spike(name: str, readouts) -> None:
    # Sums over 3 steps of differential coding are not exact in binary any more.
    time_steps = (1, 2) if name == "differential" else (1, 2, 12)
    fast, plain = (readouts(EXACT[name], time_steps, compiled) for compiled in (True, False))
    for one, two in zip(fast, plain, strict=True):
        torch.testing.assert_close(one.output, two.output, rtol=1e-5, atol=1e-5)
        assert one.activity.spikes == two.activity.spikes
        assert sum(one.activity.spikes.values()) > 0


ROUNDED = [
    "msat",
    "dcgs",
    {"preset": "tdif", "scale": "percentile"},
    {"preset": "suhd", "scale": "percentile"},
]


@pytest.mark.parametrize("recipe", ROUNDED, ids=str)
def test_the_same_but_for_rounding(recipe: Any, readouts) -> None:
    (fast,), (plain,) = (readouts(recipe, (12,), compiled) for compiled in (True, False))
    assert (fast.output - plain.output).norm() < 0.02 * plain.output.norm()
