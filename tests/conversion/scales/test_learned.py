"""Learned thresholds: what they are, that they make conversion exact, and where they are refused."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn

from conversion import RecipeError, convert
from conversion.graph.activations import QCFS, IntegerActivation


def one_layer(levels: int, ceiling: float = 1.7) -> nn.Module:
    layers = [nn.Conv2d(3, 6, 3, padding=1), QCFS(levels, ceiling), nn.Flatten(), nn.Linear(6 * 64, 4)]
    return nn.Sequential(*layers).double().eval()


def two_layers() -> nn.Module:
    layers = [nn.Conv2d(3, 6, 3, padding=1), QCFS(4, 0.9), nn.Conv2d(6, 5, 3), QCFS(4, 0.6), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(5 * 36, 4)).double().eval()


def read_out(network: nn.Module, recipe: object, images: Tensor, *time_steps: int) -> list[Tensor]:
    return [readout.output for readout in convert(network, recipe, images).simulate(images, time_steps)]


def thresholds(network: nn.Module, recipe: object, images: Tensor) -> list[float]:
    fitted = convert(network, recipe, images).thresholds.values()
    assert all(threshold.numel() == 1 for threshold in fitted)
    return [float(threshold) for threshold in fitted]


def test_thresholds_are_the_learned_ones_over_the_most_spikes(images: Tensor) -> None:
    network = two_layers()
    assert thresholds(network, "qcfs", images) == pytest.approx([0.9, 0.6])
    bursts = {"preset": "qcfs", "neuron": {"name": "burst", "gamma": 3}}
    assert thresholds(network, bursts, images) == pytest.approx([0.3, 0.2])


def test_an_integer_activation_has_threshold_one(images: Tensor) -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 3), IntegerActivation(4), nn.Flatten(), nn.Linear(6 * 36, 4))
    assert thresholds(network.double(), "ilif", images) == [1.0]
    assert thresholds(network.double(), "qcfs", images) == [4.0]


@pytest.mark.parametrize("levels", [1, 4, 7])
def test_one_layer_is_exact_at_as_many_steps_as_levels(levels: int, images: Tensor) -> None:
    network = one_layer(levels)
    expected = network(images).detach()
    before, exact, after = read_out(network, "qcfs", images, levels, levels + 1, levels + 2)
    torch.testing.assert_close(before, expected)
    assert not torch.allclose(exact, expected, atol=1e-4)  # the law is about T = L
    assert not torch.allclose(after, expected, atol=1e-4)


@pytest.mark.parametrize("time_steps", [1, 2, 3, 5, 16])
def test_the_expected_error_of_evenly_spread_input_is_zero(time_steps: int) -> None:
    """Bu et al. 2022, theorem 2; without the half start the mean is -λ / 2T off instead."""
    levels, ceiling, count = 4, 2.0, 240 * 64
    z = (torch.arange(count, dtype=torch.float64) + 0.5) / count * ceiling
    network = nn.Sequential(nn.Identity(), QCFS(levels, ceiling), nn.Identity()).double()
    images = z[None, None]  # one channel
    ann = network(images)
    (half,) = read_out(network, "qcfs", images, time_steps)
    (empty,) = read_out(network, {"preset": "qcfs", "initial": "zero"}, images, time_steps)
    assert float((half - ann).detach().mean()) == pytest.approx(0, abs=1e-12)
    assert float((empty - ann).detach().mean()) == pytest.approx(-ceiling / (2 * time_steps), rel=1e-9)


def test_whole_numbers_are_exact_in_one_step_at_any_depth(images: Tensor) -> None:
    layers: list[nn.Module] = [nn.Conv2d(3, 6, 3, padding=1), IntegerActivation(4)]
    for _ in range(3):
        layers += [nn.Conv2d(6, 6, 3, padding=1), IntegerActivation(4)]
        nn.init.normal_(layers[-2].weight, 0.02, 0.3)
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(6 * 64, 4)).double()
    expected = network(images).detach()
    last = network[:-2](images)
    assert len(last.unique()) == 5
    assert not torch.equal(last[0], last[1])
    (readout,) = convert(network, "ilif", images).simulate(images, (1,))
    torch.testing.assert_close(readout.output, expected)
    assert readout.t_total == 4


def test_other_scales_convert_such_a_network_and_keep_its_ceiling(images: Tensor) -> None:
    network = two_layers()
    for recipe in ("maxnorm", "percentile", "burst", "spicalib"):
        assert all(
            0 < value <= ceiling + 1e-6
            for value, ceiling in zip(thresholds(network, recipe, images), (0.9, 0.6), strict=True)
        )


def test_a_network_without_such_activations_is_refused_before_calibration(monkeypatch) -> None:
    network = nn.Sequential(nn.Conv2d(3, 6, 3), QCFS(4), nn.Conv2d(6, 6, 3), nn.ReLU())
    module = sys.modules[convert.__module__]
    monkeypatch.setattr(module, "_calibrate", lambda *_: pytest.fail("it was calibrated"))
    images = torch.randn(2, 3, 8, 8)
    with pytest.raises(
        RecipeError, match=r"recipe 'srp': scale 'learned' .* layer '3' \(torch.nn.ReLU\)"
    ) as e:
        convert(network, "srp", images)
    assert "activation: qcfs" in str(e.value)
    assert "{preset: srp, scale: percentile}" in str(e.value)
    ceiling_alone = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU6())
    with pytest.raises(RecipeError, match="scale 'learned'"):
        convert(ceiling_alone, "qcfs", images)
