import pytest
import torch

from conversion.fitting.facts import LayerFacts
from conversion.fitting.statistics import BINS, ActivationStatistics
from conversion.neurons import IntegrateAndFire
from conversion.scales import Maximum, Percentile, least_squares_thresholds


@pytest.fixture
def activations() -> torch.Tensor:
    return torch.randn(400, 3, 4).relu() * torch.tensor([1.0, 5.0, 0.0])[:, None]


@pytest.fixture
def statistics(activations) -> ActivationStatistics:
    statistics = ActivationStatistics("layer")
    statistics.update(activations)
    return statistics


def facts(statistics):
    return LayerFacts("layer", statistics, IntegrateAndFire())


def test_maximum(activations, statistics) -> None:
    assert torch.equal(Maximum().thresholds(facts(statistics)), activations.max()[None])
    assert torch.equal(Maximum(per_channel=True).thresholds(facts(statistics)), activations.amax((0, 2)))


@pytest.mark.parametrize("p", [0.95, 0.999])
def test_percentile_counts_zeros(p: float, activations, statistics) -> None:
    width = 2 * activations.amax((0, 2)) / BINS
    layer, channels = (
        Percentile(p).thresholds(facts(statistics)),
        Percentile(p, True).thresholds(facts(statistics)),
    )
    values = activations.transpose(0, 1).flatten(1)
    low, high = (torch.quantile(values, p, dim=1, interpolation=i) for i in ("lower", "higher"))
    assert (low - 1e-6 <= channels).all()
    assert (channels <= high + width).all()
    low, high = (torch.quantile(values.flatten(), p, interpolation=i) for i in ("lower", "higher"))
    assert low - 1e-6 <= layer[0] <= high + width.max()


@pytest.mark.parametrize("p", [0.0, -0.1, 1.01, 99.9, float("nan")])
def test_share_outside_zero_and_one_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=r"p is a share in \(0, 1\], got"):
        Percentile(p)


@pytest.mark.parametrize("levels", [1, 2, 3, 7, 15, 31])
def test_least_squares_against_trying_everything(levels: int, activations, statistics) -> None:
    found = least_squares_thresholds(statistics, levels)
    values = activations.double().transpose(0, 1).flatten(1)

    def error(channel: int, top: float) -> float:
        step = top / levels
        rounded = torch.floor(values[channel] / step + 0.5).clamp(0, levels) * step
        return (values[channel] - rounded).square().mean().item()

    for channel in (0, 1):
        largest = values[channel].max().item()
        tried = min(error(channel, largest * i / 40) for i in range(1, 41))
        finest = min(error(channel, largest * i / 1000) for i in range(20, 1001))
        here = error(channel, found[channel].item())
        assert here <= tried * 1.01
        assert here <= finest * 1.25
        assert here < error(channel, largest) or levels > 15
        assert 0 < found[channel] <= largest * (1 + 1e-6)


def test_least_squares_of_a_silent_channel_is_finite(statistics) -> None:
    assert torch.isfinite(least_squares_thresholds(statistics, 8)).all()
