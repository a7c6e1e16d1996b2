import math

import pytest
import torch

from conversion import SpikingNetwork, convert
from conversion.fitting.facts import LayerFacts
from conversion.fitting.statistics import ActivationStatistics
from conversion.neurons import Burst, IntegrateAndFire
from conversion.scales import LeastSquares


def facts(values: torch.Tensor, neuron=None, time_steps=None, initial=0.0) -> LayerFacts:
    """Facts of a layer with activations [N, C]."""
    statistics = ActivationStatistics("layer")
    statistics.update(values)
    return LayerFacts("layer", statistics, neuron or IntegrateAndFire(), None, time_steps, initial)


def spiking_error(values: torch.Tensor, threshold: float, neuron, steps: int, initial: float) -> float:
    """Squared error of the rates of real neurons, each with one of the values as constant input."""
    spikes, _ = neuron.scan(values[None] / threshold, steps, {"v": torch.full_like(values, initial)})
    return (spikes.mean(0) * threshold - values).square().mean().item()


@pytest.mark.parametrize("levels", [1, 2, 4, 9])
@pytest.mark.parametrize(("rounding", "share"), [("nearest", 0.5), ("floor", 1.0)])
def test_evenly_spread_activations_have_a_closed_form(levels: int, rounding: str, share: float) -> None:
    # The last cell must be as wide as the others: n s + s / 2 = 1 for the nearest, n s + s = 1 for floor.
    values = torch.linspace(0, 5, 40_001)[:, None]
    found = LeastSquares(levels, rounding).thresholds(facts(values))
    assert found.item() == pytest.approx(5 * levels / (levels + share), rel=1e-2)


def test_one_level_of_exponential_activations_has_a_closed_form() -> None:
    # Minimise E over s of rounding to {0, s} at s / 2: d/ds [E(a - q)²] = 0 <=> s = E[a | a > s / 2]
    # + (boundary terms vanish), and E[a | a > s / 2] = s / 2 + 1 for the exponential: s = 2.
    values = -torch.log1p(-torch.linspace(0, 1, 400_001)[:-1].double()).float()[:, None]
    assert LeastSquares(1, "nearest").thresholds(facts(values)).item() == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize("gamma", [1, 3])
@pytest.mark.parametrize(("steps", "initial"), [(1, 0.5), (4, 0.5), (4, 0.0), (7, 0.25)])
def test_no_other_threshold_represents_the_activations_better(gamma: int, steps: int, initial: float) -> None:
    values = torch.randn(3000, 2).relu().square() * torch.tensor([1.0, 30.0])
    neuron = Burst(gamma)
    found = LeastSquares().thresholds(facts(values, neuron, steps, initial))
    for channel in (0, 1):
        column = values[:, channel]
        candidates = torch.linspace(1e-3, 1.2 / gamma, 400) * column.max()
        least = min(spiking_error(column, float(c), neuron, steps, initial) for c in candidates)
        assert spiking_error(column, float(found[channel]), neuron, steps, initial) <= 1.02 * least


def test_one_threshold_for_the_layer_minimises_the_sum_over_channels() -> None:
    values = torch.rand(2000, 3) * torch.tensor([1.0, 2.0, 0.1])
    found = LeastSquares(4, "nearest", per_channel=False).thresholds(facts(values))
    alone = LeastSquares(4, "nearest").thresholds(facts(values.reshape(-1, 1)))
    assert found.shape == (1,)
    assert found.item() == pytest.approx(alone.item(), rel=0.02)


def test_parameters_say_what_counts() -> None:
    values = torch.rand(1000, 2)
    same = [
        LeastSquares().thresholds(facts(values, Burst(2), 4, 0.5)),
        LeastSquares(8, "nearest").thresholds(facts(values, Burst(2))),
        LeastSquares(time_steps=4, rounding="nearest").thresholds(facts(values, Burst(2), 99)),
        LeastSquares(8, "initial").thresholds(facts(values, initial=0.5)) / 2,
    ]
    for other in same[1:]:
        assert torch.equal(other, same[0])
    assert (LeastSquares(8, "floor").thresholds(facts(values)) < same[0] * 2).all()


def test_scale_of_the_activations_is_the_scale_of_the_threshold() -> None:
    values = torch.randn(1000, 2).relu()
    for factor in (1e-6, 1e6):
        one, two = (LeastSquares(4).thresholds(facts(v)) for v in (values, values * factor))
        assert torch.allclose(two, one * factor, rtol=1e-4)


def test_silent_channels_get_zero_and_few_bins_suffice() -> None:
    found = LeastSquares(4).thresholds(facts(torch.tensor([[0.0, 3.0], [0.0, 3.0]])))
    assert found[0] == 0
    assert math.isclose(found[1], 3.0, rel_tol=2e-3)


def test_time_steps_are_needed_only_where_nothing_else_says_them() -> None:
    assert LeastSquares().needs_time_steps
    assert not LeastSquares(levels=4).needs_time_steps
    assert not LeastSquares(time_steps=4).needs_time_steps


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"levels": -1}, "levels must be positive, or 0"),
        ({"time_steps": -1}, "time_steps must be positive, or 0"),
        ({"rounding": "up"}, "rounding must be initial, nearest or floor"),
        ({"candidates": 0}, "candidates must be at least 1"),
    ],
)
def test_mistakes_are_refused(values, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LeastSquares(**values)


def test_a_network_is_fitted_for_each_number_of_time_steps(branchy, images, calibration) -> None:
    branchy, images, calibration = branchy.float(), images.float(), calibration.float()
    snn = convert(branchy, {"preset": "opi", "scale": "least-squares"}, calibration)
    few, many = snn.at(2).thresholds, snn.at(32).thresholds
    assert any((few[name] < many[name]).any() for name in few)
    fixed = convert(
        branchy, {"preset": "opi", "scale": {"name": "least-squares", "time_steps": 2}}, calibration
    )
    assert isinstance(fixed, SpikingNetwork)
    for name, threshold in fixed.thresholds.items():
        assert torch.equal(threshold, few[name])
