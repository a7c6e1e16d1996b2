import math

import pytest
import torch

from conversion.fitting.facts import LayerFacts
from conversion.fitting.statistics import ActivationStatistics
from conversion.neurons import Burst, IntegrateAndFire
from conversion.scales import ThresholdIteration


class Moments(ActivationStatistics):
    """Statistics that know the moments of a layer's inputs exactly."""

    def __init__(self, mean: list[float], deviation: list[float]) -> None:
        super().__init__("layer")
        self._moments = torch.tensor(mean).double(), torch.tensor(deviation).double()

    @property
    def drive_moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self._moments


def facts(mean: list[float], deviation: list[float], neuron=None) -> LayerFacts:
    return LayerFacts("layer", Moments(mean, deviation), neuron or IntegrateAndFire())


def error(mean: float, deviation: float, levels: int, top: float) -> float:
    """Squared error of `levels` levels up to `top` for N(mean, deviation²), by the midpoint rule."""
    x = mean + deviation * (torch.arange(-9, 9, 1e-3, dtype=torch.float64) + 5e-4)
    density = torch.exp(-((x - mean) / deviation).square() / 2)
    rounded = torch.floor(levels * x / top + 0.5).clamp(0, levels) * top / levels
    return ((rounded - x.relu()).square() * density).sum().item() / density.sum().item()


@pytest.mark.parametrize("levels", [1, 2, 4, 15])
@pytest.mark.parametrize(
    ("mean", "deviation"), [(0.0, 1.0), (2.0, 0.5), (-1.0, 1.0), (-3.0, 2.0), (5.0, 0.3)]
)
def test_no_other_threshold_has_less_error(levels: int, mean: float, deviation: float) -> None:
    found = ThresholdIteration(levels).thresholds(facts([mean], [deviation])).item()
    tops = torch.linspace(0.05, 1.2, 300) * (max(mean, 0.0) + 4 * deviation)
    least = min(error(mean, deviation, levels, float(top)) for top in tops)
    assert error(mean, deviation, levels, found) <= least * 1.005


def test_one_update_is_the_published_one() -> None:
    mean, deviation, levels = 0.3, 1.7, 5
    start = mean + 4 * deviation
    u = [
        ((2 * i - 1) * start / (2 * levels) - mean) / (math.sqrt(2) * deviation) for i in range(1, levels + 1)
    ]
    above = mean / start * (1 - sum(map(math.erf, u)) / levels)
    above += deviation / start * math.sqrt(2 / math.pi) * sum(math.exp(-(v**2)) for v in u) / levels
    below = 1 - sum((2 * i + 1) / levels**2 * math.erf(v) for i, v in enumerate(u))
    found = ThresholdIteration(levels, iterations=1, starts=1).thresholds(facts([mean], [deviation]))
    assert found.item() == pytest.approx(start * above / below)


def test_channels_are_independent_and_a_layer_minimises_their_sum() -> None:
    mean, deviation = [0.0, 1.0, -1.0], [1.0, 0.2, 3.0]
    channels = ThresholdIteration(4).thresholds(facts(mean, deviation))
    for i in range(3):
        alone = ThresholdIteration(4).thresholds(facts(mean[i : i + 1], deviation[i : i + 1]))
        assert channels[i].item() == pytest.approx(alone.item(), rel=1e-4)
    layer = ThresholdIteration(4, per_channel=False).thresholds(facts(mean, deviation))
    assert layer.shape == (1,)

    def total(top: float) -> float:
        return sum(error(m, d, 4, top) for m, d in zip(mean, deviation, strict=True))

    assert total(layer.item()) <= min(total(float(top)) for top in torch.linspace(0.5, 12, 200)) * 1.005


def test_bursts_divide_the_range_among_their_spikes() -> None:
    one = ThresholdIteration(5).thresholds(facts([0.0], [1.0]))
    assert ThresholdIteration().thresholds(facts([0.0], [1.0], Burst(5))) == pytest.approx(one.item() / 5)


def test_constant_inputs_are_met_exactly_and_silent_ones_get_zero() -> None:
    found = ThresholdIteration(4).thresholds(facts([3.0, -3.0, 0.0, -40.0], [0.0, 0.0, 0.0, 1.0]))
    assert found[0] == pytest.approx(3.0, rel=1e-4)
    assert torch.isfinite(found).all()
    assert (found >= 0).all()
    assert found[1] == 0


def test_moments_come_from_the_inputs_of_the_neurons() -> None:
    statistics = ActivationStatistics("layer")
    drive = torch.randn(50_000, 2).double() * 2 + torch.tensor([1.0, -1.0]).double()
    for part in drive.split(7000):
        statistics.update(part.relu(), part)
    found = ThresholdIteration(8).thresholds(LayerFacts("layer", statistics, IntegrateAndFire()))
    expected = ThresholdIteration(8).thresholds(facts([1.0, -1.0], [2.0, 2.0]))
    assert torch.allclose(found, expected, rtol=0.02)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"levels": -1}, "levels must be positive, or 0"),
        ({"iterations": -1}, "iterations must not be"),
        ({"starts": 0}, "starts must be at least 1"),
    ],
)
def test_mistakes_are_refused(values, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ThresholdIteration(**values)
