import itertools

import pytest
import torch
from torch import Tensor

from conversion.errors import CalibrationError
from conversion.fitting.statistics import BINS, ActivationStatistics


def statistics_of(*batches: Tensor) -> ActivationStatistics:
    statistics = ActivationStatistics("layer")
    for batch in batches:
        statistics.update(batch)
    return statistics


def growing() -> list[Tensor]:
    """Batches [N, 4, 3, 3] whose ranges differ widely; channel 2 is silent, channel 3 wakes up late."""
    batches = [torch.randn(40, 4, 3, 3).relu() * scale for scale in (0.01, 1.0, 7.3, 0.3)]
    for batch in batches:
        batch[:, 2] = 0
    batches[0][:, 3] = 0
    return batches


def channelwise(batches: list[Tensor]) -> Tensor:
    return torch.cat(batches).transpose(0, 1).flatten(1)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::4], ids=str)
@pytest.mark.parametrize("p", [0.5, 0.9, 0.99, 0.999])
def test_quantiles_lie_within_one_bin(order: tuple[int, ...], p: float) -> None:
    batches = growing()
    statistics = statistics_of(*[batches[i] for i in order])
    values = channelwise(batches)
    bin_width = 2 * values.amax(1) / BINS
    channels = statistics.quantile(p, per_channel=True)
    assert (channels >= torch.quantile(values, p, dim=1, interpolation="lower") - 1e-6).all()
    assert (channels <= torch.quantile(values, p, dim=1, interpolation="higher") + bin_width + 1e-6).all()
    whole = statistics.quantile(p, per_channel=False)
    assert whole.shape == (1,)
    low, high = (torch.quantile(values.flatten(), p, interpolation=i) for i in ("lower", "higher"))
    assert low - 1e-6 <= whole[0] <= high + bin_width.max() + 1e-6


def test_quantiles_of_layer_and_channels_differ() -> None:
    statistics = statistics_of(torch.rand(500, 2) * torch.tensor([1.0, 10.0]))
    assert statistics.quantile(0.5, per_channel=True).tolist() == pytest.approx([0.5, 5.0], abs=0.4)
    assert statistics.quantile(0.5, per_channel=False).item() == pytest.approx(10 / 11, abs=0.1)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_maximum_is_exact(order: tuple[int, ...]) -> None:
    batches = growing()
    statistics = statistics_of(*[batches[i] for i in order])
    maximum = channelwise(batches).amax(1)
    assert torch.equal(statistics.maximum, maximum)
    assert torch.equal(statistics.quantile(1.0, per_channel=True), maximum)
    assert torch.equal(statistics.quantile(1.0, per_channel=False), maximum.max()[None])


def test_quantiles_never_exceed_the_maximum() -> None:
    batches = growing()
    statistics = statistics_of(*batches)
    assert (statistics.quantile(0.9999, per_channel=True) <= statistics.maximum).all()
    assert statistics.quantile(0.9, per_channel=True)[2] == 0


def test_every_value_is_counted_once() -> None:
    batches = growing()
    centres, counts = statistics_of(*batches).histogram
    values = channelwise(batches)
    assert counts.sum(1).tolist() == [values.shape[1]] * 4
    mean = (centres * counts).sum(1) / counts.sum(1)
    assert ((mean - values.mean(1)).abs() <= 2 * values.amax(1) / BINS + 1e-6).all()


def test_many_batches_equal_one() -> None:
    values = torch.rand(64, 3, 5)
    values[0] = 1.0  # fixes the range from the start
    one, many = statistics_of(values), statistics_of(*values.split(16))
    assert torch.equal(one.histogram[1], many.histogram[1])
    assert one.count == many.count == 64 * 5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_unusable_activations_name_the_layer(bad: float) -> None:
    values = torch.rand(2, 3, 4)
    values[1, 2, 0] = bad
    statistics = ActivationStatistics("stage2.relu")
    with pytest.raises(CalibrationError, match=r"layer 'stage2\.relu': activations .* NaN or infinite"):
        statistics.update(values)


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_quantile_among_zeros_is_zero(per_channel):
    statistics = ActivationStatistics("sparse")
    activation = torch.zeros(100, 2, 10)
    activation[0] = torch.linspace(0.1, 1, 10)
    statistics.update(activation)
    assert torch.equal(statistics.quantile(0.95, per_channel), torch.zeros(2 if per_channel else 1))
    assert bool((statistics.quantile(0.995, per_channel) > 0.1).all())


def test_of_negative_activations_magnitudes_count_and_the_mean_has_a_sign() -> None:
    values = torch.randn(64, 3, 50) * torch.tensor([1.0, 5.0, 0.1])[:, None]
    values[:, 2] -= 10  # never positive
    signed, magnitudes = statistics_of(values), statistics_of(values.abs())
    assert torch.equal(signed.maximum, values.abs().amax((0, 2)))
    assert torch.equal(signed.histogram[1], magnitudes.histogram[1])
    assert torch.equal(signed.quantile(0.9, True), magnitudes.quantile(0.9, True))
    torch.testing.assert_close(signed.mean.float(), values.mean((0, 2)))
    assert signed.mean[2] < -9
