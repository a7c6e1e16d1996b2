"""Activations for training: their values and gradients by the paper's formulas, one number at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from conversion import convert
from conversion.graph.activations import LEAST_CEILING, QCFS, IntegerActivation
from conversion.graph.capture import capture
from conversion.graph.operations import Kind
from conversion.graph.roles import sort_into_roles


def staircase(z: float, ceiling: float, levels: int) -> float:
    return ceiling * min(max(math.floor(z * levels / ceiling + 0.5) / levels, 0), 1)


def gradients(z: float, ceiling: float, levels: int) -> tuple[float, float]:
    """By z and by the ceiling, as Bu et al. 2022 give them."""
    half = ceiling / (2 * levels)
    by_z = 1.0 if -half < z < ceiling - half else 0.0
    if z < -half:
        return by_z, 0.0
    if z >= ceiling - half:
        return by_z, 1.0
    return by_z, (staircase(z, ceiling, levels) - z) / ceiling


@pytest.mark.parametrize(("levels", "ceiling"), [(1, 1.0), (4, 2.0), (8, 0.7)])
def test_values_and_gradients_are_the_papers(levels: int, ceiling: float) -> None:
    qcfs = QCFS(levels, ceiling).double()
    z = torch.linspace(-1.5 * ceiling, 2 * ceiling, 997, dtype=torch.float64).requires_grad_()
    weights = torch.randn_like(z)
    a = qcfs(z)
    (weights * a).sum().backward()
    bound = float(qcfs.ceiling)  # 0.7 was float32 once
    torch.testing.assert_close(a.tolist(), [staircase(v, bound, levels) for v in z.tolist()])
    expected = [gradients(v, bound, levels) for v in z.tolist()]
    pairs = list(zip(weights.tolist(), expected, strict=True))
    torch.testing.assert_close(z.grad.tolist(), [w * by_z for w, (by_z, _) in pairs])
    total = sum(w * by_ceiling for w, (_, by_ceiling) in pairs)
    assert float(qcfs.threshold.grad) == pytest.approx(total)


def test_gradients_differ_from_those_of_floor_and_clamp_where_the_paper_says_so() -> None:
    """Between λ - λ / 2L and λ + λ / 2L the activation is clipped, so it moves with λ alone."""
    qcfs = QCFS(4, 2.0)
    z = torch.tensor([1.9, 2.1], requires_grad=True)
    qcfs(z).sum().backward()
    assert z.grad.tolist() == [0, 0]
    assert float(qcfs.threshold.grad) == 2


def test_it_takes_no_more_values_than_levels_and_is_idempotent() -> None:
    qcfs = QCFS(5, 3.0)
    a = qcfs(10 * torch.randn(1000))
    assert len(a.unique()) == 6
    torch.testing.assert_close(qcfs(a), a)


def test_a_threshold_stays_positive_and_can_grow_again() -> None:
    qcfs = QCFS(4)
    with torch.no_grad():
        qcfs.threshold.fill_(-1.0)
    a = qcfs(torch.ones(3))
    torch.testing.assert_close(a, torch.full((3,), LEAST_CEILING))
    (-a.sum()).backward()
    assert float(qcfs.ceiling) > 0
    assert float(qcfs.threshold.grad) < 0  # a step against the gradient raises it


def test_a_nan_stays_a_nan() -> None:
    for activation in (QCFS(4), IntegerActivation(4)):
        a = activation(torch.tensor([math.nan, 1.0]))
        assert a.isnan().tolist() == [True, False]


def test_mixed_precision_keeps_the_type_of_its_input() -> None:
    z = torch.randn(64, dtype=torch.bfloat16, requires_grad=True)
    qcfs = QCFS(4, 2.0)
    a = qcfs(z)
    a.sum().backward()
    assert a.dtype == z.grad.dtype == torch.bfloat16
    assert qcfs.threshold.grad.dtype == torch.float32


def test_integers_by_hand() -> None:
    z = torch.tensor([-2.0, -0.4, 0.4, 0.6, 2.4, 3.9, 4.1, 9.0], requires_grad=True)
    s = IntegerActivation(4)(z)
    s.sum().backward()
    assert s.tolist() == [0, 0, 0, 1, 2, 4, 4, 4]
    assert z.grad.tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_training_fits_a_threshold_to_its_target() -> None:
    """Least squares to clip(z, 0, 2): the learned ceiling has to become 2."""
    z = torch.rand(1024) * 3
    qcfs = QCFS(16, 1.0)
    optimiser = torch.optim.SGD(qcfs.parameters(), lr=0.3)
    for _ in range(100):
        optimiser.zero_grad()
        (qcfs(z) - z.clamp(max=2)).square().mean().backward()
        optimiser.step()
    assert float(qcfs.ceiling) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("levels", [0, -1, 2.5, True, "4"])
def test_levels_that_are_no_number_of_steps_are_refused(levels: object) -> None:
    for kind in (QCFS, IntegerActivation):
        with pytest.raises(ValueError, match="levels must be a whole number of at least 1, got"):
            kind(levels)
    with pytest.raises(ValueError, match="start must be at least"):
        QCFS(4, start=0.0)


def test_levels_and_threshold_travel_with_the_weights() -> None:
    state = QCFS(6, 1.5).state_dict()
    assert {key: float(value) for key, value in state.items()} == {"threshold": 1.5, "levels": 6}


def test_conversion_sees_one_neuron_with_its_ceiling_and_levels() -> None:
    network = nn.Sequential(nn.Linear(3, 4), QCFS(8, 1.25), nn.Linear(4, 4), IntegerActivation(3), nn.ReLU())
    roles = [role for role in sort_into_roles(capture(network)).values() if role.kind is Kind.NEURON]
    found = [(role.name, role.operation, role.ceiling, role.levels) for role in roles]
    assert found == [
        ("1", "conversion.graph.activations.QCFS", 1.25, 8),
        ("3", "conversion.graph.activations.IntegerActivation", 3.0, 3),
        ("4", "torch.nn.ReLU", None, None),
    ]


def test_a_threshold_that_training_lost_is_named() -> None:
    network = nn.Sequential(nn.Linear(3, 4), QCFS(4), nn.Linear(4, 2))
    with torch.no_grad():
        network[1].threshold.fill_(math.nan)
    with pytest.raises(Exception, match="layer '1'"):
        convert(network, "qcfs", torch.randn(8, 3))
