import pytest
import torch
from torch import Tensor, nn

from conversion import convert, prepare, recipe_from
from conversion.fitting.facts import Calibration
from conversion.scales import ClipClimb


class Two(nn.Module):
    """Two ReLUs in a row, so that the second sees what the first leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)
        self.first, self.second = nn.ReLU(), nn.ReLU()
        self.a.weight.data = torch.eye(2)
        self.b.weight.data = torch.tensor([[1.0, 2.0]])

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.b(self.first(self.a(x))))


def thresholds(network: nn.Module, images: Tensor, **parameters: object) -> dict[str, Tensor]:
    recipe = {"preset": "opi", "scale": {"name": "clip-climb", **parameters}}
    return {name: value.flatten() for name, value in convert(network, recipe, images).thresholds.items()}


def climbed_by_hand(batches: list[list[list[float]]], iterations: int, c: float) -> list[float]:
    """Thresholds of `Two`, one number at a time."""
    theta = [0.0, 0.0, 0.0]

    def clip(index: int, values: list[float]) -> list[float]:
        cut = [max(value - theta[index], 0.0) for value in values]
        theta[index] += min(2 * c * sum(cut) / len(cut), max(cut))
        return [min(max(value, 0.0), theta[index]) for value in values]

    for number in range(iterations):
        batch = batches[number % len(batches)]
        left = clip(0, [image[0] for image in batch])
        right = clip(1, [image[1] for image in batch])
        clip(2, [x + 2 * y for x, y in zip(left, right, strict=True)])
    return theta


@pytest.mark.parametrize("c", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("iterations", [1, 2, 3, 10])
def test_equals_a_computation_by_hand_with_batches_in_turn(iterations: int, c: float) -> None:
    images = torch.tensor([[1.0, -2.0], [3.0, 0.5], [-1.0, 4.0], [2.0, 2.0], [0.0, 8.0]])
    found = thresholds(Two(), images, iterations=iterations, c=c, batch=2)
    expected = climbed_by_hand([part.tolist() for part in images.split(2)], iterations, c)
    assert torch.cat([found["first"], found["second"]]).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("c", [0.2, 1.0, 5.0])
def test_climbs_and_stays_below_the_largest_activation(branchy, calibration, c: float) -> None:
    prepared = prepare(branchy, calibration)
    facts = Calibration(
        prepared.plan("opi"), list(calibration.split(16)), prepared.statistics, None, recipe_from("opi").scale
    )
    first = prepared.statistics["stem.2"].maximum  # of a layer whose input nobody clips
    before: dict[str, Tensor] = {}
    for iterations in (1, 2, 5, 20, 80):
        now = ClipClimb(iterations, c, 16).fit(facts)
        assert all((now[name] >= before[name]).all() for name in before)
        assert (now["stem.2"] <= first * 1.0001).all()
        before = now
    assert (before["stem.2"] > 0.4 * first).all()
    assert any((before[name] < 0.99 * prepared.statistics[name].maximum).any() for name in before)


def test_a_long_climb_ends_at_the_maximum() -> None:
    images = torch.tensor([[1.0, 2.0], [3.0, 0.5], [0.25, 4.0]])
    found = thresholds(Two(), images, iterations=300, c=0.5)
    assert found["first"].tolist() == pytest.approx([3.0, 4.0], rel=1e-3)
    assert found["second"].tolist() == pytest.approx([8.25], rel=1e-3)


def test_a_layer_can_share_one_threshold() -> None:
    images = torch.tensor([[1.0, 2.0], [3.0, 0.5]])
    found = thresholds(Two(), images, iterations=1, c=0.5, per_channel=False)
    assert found["first"].tolist() == pytest.approx([(1 + 2 + 3 + 0.5) / 4])


def test_the_size_of_batches_matters_little(branchy, calibration) -> None:
    small = thresholds(branchy, calibration, iterations=60, batch=4)
    large = thresholds(branchy, calibration, iterations=60, batch=40)
    for name in small:
        assert torch.allclose(small[name].mean(), large[name].mean(), rtol=0.15)


@pytest.mark.parametrize("wrong", [{"iterations": 0}, {"c": 0.0}, {"batch": 0}], ids=str)
def test_bad_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        ClipClimb(**wrong)
