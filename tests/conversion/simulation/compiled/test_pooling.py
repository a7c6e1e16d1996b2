"""Max pooling in the kernel sends what its rule says, from bits and from bytes."""

import pytest
import torch
from torch import nn

from conversion.pooling import Gate, LateralInhibition, MaxPool, PerStep
from conversion.signals.signals import Spikes
from conversion.simulation.compiled.buffers import Buffers
from conversion.simulation.compiled.lanes import lanes_for, pack_spikes, planes_of
from conversion.simulation.compiled.native import has_tables, kernel
from conversion.simulation.compiled.pooling import can_pool, pool_bytes, pool_packed

pytestmark = pytest.mark.skipif(kernel() is None, reason="no C compiler on this machine")
ONE = torch.ones(1)
POOLS = [
    nn.MaxPool2d(2),
    nn.MaxPool2d(3, 2, 1),
    nn.MaxPool2d(3, 1, 1, ceil_mode=True),
    nn.MaxPool2d((2, 3), (3, 2), (1, 0), (2, 1), ceil_mode=True),
    nn.MaxPool2d(2, 5),
]


def chunks(count, channels, least, most):
    """Spikes of three chunks of time."""
    torch.manual_seed(0)
    for steps in (5, 1, 3):
        counts = torch.randint(least, most + 1, (steps * count, channels, 9, 7), dtype=torch.int8)
        yield Spikes(counts, steps, ONE, least < 0)


@pytest.mark.skipif(not has_tables(), reason="no spikes in bits on this machine (AVX-512BW or AVX2)")
@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize(
    ("count", "least", "most"), [(3, 0, 1), (9, 0, 5), (32, 0, 1), (5, -1, 1), (17, -8, 7)]
)
@pytest.mark.parametrize("rule", [LateralInhibition(), Gate()], ids=lambda rule: rule.name)
def test_bits(rule, pool, count, least, most):
    lanes, weights, function = lanes_for(count), planes_of(most, least), MaxPool.of_module(pool)
    state, expected_state = {}, {}
    for spikes in chunks(count, 8, least, most):
        packed = pack_spikes(spikes, weights, lanes)
        assert can_pool(rule, function, packed)
        expected, expected_state = rule.scan(
            function, spikes.counts.float().unflatten(0, (spikes.steps, -1)), expected_state
        )
        assert torch.equal(pool_packed(rule, function, packed, state).counts.float(), expected.flatten(0, 1))


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize(("count", "least", "most"), [(3, 0, 1), (1, -127, 127), (5, -1, 1)])
@pytest.mark.parametrize("rule", [LateralInhibition(), Gate()], ids=lambda rule: rule.name)
@pytest.mark.parametrize("channels", [32, 5])
def test_bytes(rule, pool, count, least, most, channels):
    function, state, expected_state = MaxPool.of_module(pool), {}, {}
    for spikes in chunks(count, channels, least, most):
        assert can_pool(rule, function, spikes)
        timed = spikes.counts.float().unflatten(0, (spikes.steps, -1))
        expected, expected_state = rule.scan(function, timed, expected_state)
        pooled, counts = pool_bytes(rule, function, spikes, ONE, state, Buffers())
        assert torch.equal(pooled.counts.float(), expected.flatten(0, 1))
        assert torch.equal(counts, expected.abs().sum((0, 1)))


def test_what_does_not_fit():
    counts = torch.zeros(2, 16, 9, 7, dtype=torch.int8)
    spikes, pool = Spikes(counts, 2, ONE, False), MaxPool.of_module(nn.MaxPool2d(2))
    assert can_pool(Gate(), pool, spikes)
    assert not can_pool(Gate(), MaxPool.of_module(nn.AdaptiveMaxPool2d(2)), spikes)
    assert not can_pool(Gate(), MaxPool.of_module(nn.MaxPool2d(17, padding=8)), spikes)
    assert not can_pool(PerStep(), pool, spikes)
    assert can_pool(Gate(), pool, Spikes(counts[:, :8], 2, ONE, False))
