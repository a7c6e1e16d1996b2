"""What the tests of neurons share: how to run one, and currents that make it regret."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from conversion.neurons import Neuron


def _run(neuron: Neuron, current: Tensor, v0: float = 0.0, steps: int | None = None) -> tuple[Tensor, Tensor]:
    state = neuron.start(torch.full_like(current[0], v0))
    spikes, state = neuron.scan(current, steps or len(current), state)
    return spikes, state["v"]


def _transient(steps: int, neurons: int) -> Tensor:
    drift = torch.linspace(0.8, -0.4, steps, dtype=torch.float64)[:, None, None]
    return drift + 2 * torch.randn(steps, 2, neurons, dtype=torch.float64)


@pytest.fixture
def run() -> Callable[..., tuple[Tensor, Tensor]]:
    """Spikes [T, B, N] and last membrane of a neuron under currents."""
    return _run


@pytest.fixture
def transient() -> Callable[[int, int], Tensor]:
    """Currents that start high and turn negative, so that neurons fire first and then regret it."""
    return _transient
