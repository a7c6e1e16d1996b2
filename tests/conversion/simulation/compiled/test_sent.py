"""What neurons send in all: the kernel says what their equations say, step by step."""

import pytest
import torch

from conversion.neurons import (
    Burst,
    IntegrateAndFire,
    Signed,
    SpikeCalibrated,
    TemporalWeight,
    Tracking,
)
from conversion.simulation.choice import BACKENDS
from conversion.simulation.compiled.layers import sent_in_kernel
from conversion.simulation.compiled.native import kernel

pytestmark = pytest.mark.skipif(kernel() is None, reason="no C compiler on this machine")
COMPILED = next(backend for backend in BACKENDS if backend.name == "compiled")


@pytest.mark.parametrize(
    "neuron", [IntegrateAndFire(), Burst(5), Signed(4, 0.0, 4), SpikeCalibrated(3), Tracking(2)]
)
@pytest.mark.parametrize("steps", [1, 7, 40])
@pytest.mark.parametrize("constant", [True, False])
def test_totals_are_those_of_the_steps(neuron, steps, constant):
    torch.manual_seed(0)
    current = torch.randn(1 if constant else steps, 32, 5) + 0.3
    state = neuron.start(torch.rand(32, 5))
    before = {name: value.clone() for name, value in state.items()}
    expected, now = torch.zeros(32, 5), state
    for step in range(steps):
        spikes, now = neuron.step(current[0 if constant else step], now)
        expected = expected + spikes
    assert torch.equal(COMPILED.sent(neuron, current, steps, state), expected)
    assert sent_in_kernel(neuron, current, steps, state) is not None
    assert all(torch.equal(value, before[name]) for name, value in state.items())
    assert expected.any()


def test_what_fits_no_register_or_kernel_runs_in_plain_operations():
    current = torch.rand(6, 3, 5)
    neuron = IntegrateAndFire()
    state = neuron.start(torch.zeros(3, 5))
    assert sent_in_kernel(neuron, current, 6, state) is None  # fifteen neurons
    assert float(COMPILED.sent(neuron, current, 6, state).sum()) > 0
    wide = torch.rand(6, 16)
    weighted = TemporalWeight()
    assert sent_in_kernel(weighted, wide, 6, weighted.start(torch.zeros(16))) is None
    double = COMPILED.sent(neuron, wide.double(), 6, neuron.start(torch.zeros(16, dtype=torch.float64)))
    assert double.dtype == torch.float64
