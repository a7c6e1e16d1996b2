import pytest
import torch

from conversion.initial import Fraction, Zero
from conversion.neurons import IntegrateAndFire


def test_values() -> None:
    assert Zero().value == 0.0
    assert Fraction().value == 0.5
    assert Fraction(0.25).value == 0.25


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_fraction_outside_zero_and_one_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"fraction must be in \[0, 1\], got"):
        Fraction(fraction)


def test_half_full_has_the_least_squared_error() -> None:
    z = torch.linspace(0, 1, 2001, dtype=torch.float64).view(1, 1, -1)
    errors = {}
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        spikes, _ = IntegrateAndFire().scan(z, 8, {"v": torch.full_like(z[0], Fraction(fraction).value)})
        errors[fraction] = (spikes.mean(0) - z[0]).square().mean().item()
    assert min(errors, key=errors.__getitem__) == 0.5
    assert errors[0.5] == pytest.approx(1 / (12 * 64), rel=0.02)  # rounding to the nearest 1/8
    assert errors[0.0] == pytest.approx(1 / (3 * 64), rel=0.02)  # rounding down
