"""Max pooling in the kernel, value by value equal to the rules of `conversion.pooling`."""

import pytest
import torch
from torch import nn

from conversion.pooling import BeforeNeuron, Gate, LateralInhibition, MaxPool, PerStep
from conversion.simulation.cuda import pooling
from conversion.simulation.cuda.pooling import can_pool, pool_chunk
from conversion.simulation.cuda.signals import channels_first

POOLS = [
    nn.MaxPool2d(2),
    nn.MaxPool2d(3, 2, 1),
    nn.MaxPool2d((2, 3), (1, 2), (1, 0)),
    nn.MaxPool2d(2, 2, ceil_mode=True),
    nn.MaxPool2d(2, 1, dilation=2),
]
B, C = 2, 3


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(pooling, "BLOCK", 16)


def check(rule, module, values, steps_of_chunks, spike_value=None, dtype=torch.float32):
    pool, state, expected_state, first = MaxPool.of_module(module), {}, {}, 0
    for steps in steps_of_chunks:
        chunk = values[first : first + steps]
        first += steps
        expected, expected_state = rule.scan(pool, chunk.float(), expected_state)
        sent, counts = pool_chunk(rule, pool, chunk.flatten(0, 1), steps, spike_value, state, dtype)
        assert sent.dtype == dtype
        assert torch.equal(channels_first(sent).float(), expected.flatten(0, 1))
        events = expected != 0
        if spike_value is not None:
            events = (expected / spike_value.view(C, 1, 1)).round().abs()
        assert torch.equal(channels_first(counts[None])[0].float(), events.float().sum((0, 1)))
    return expected


@pytest.mark.parametrize("module", POOLS, ids=repr)
@pytest.mark.parametrize("rule", [LateralInhibition(), Gate(), PerStep()], ids=repr)
def test_values(rule, module):
    """Sums of real values are rounded as PyTorch rounds them."""
    check(rule, module, torch.randn(4, B, C, 5, 5), (1, 3))


@pytest.mark.parametrize("rule", [LateralInhibition(), Gate()], ids=repr)
def test_spikes(rule):
    """Whole numbers, in which ties are frequent: the first input of a window wins."""
    spikes = torch.randint(-1, 3, (5, B, C, 6, 6)).to(torch.int8)
    check(rule, nn.MaxPool2d(2), spikes, (2, 3), torch.ones(C), torch.int8)
    check(rule, nn.MaxPool2d(3, 2, 1), spikes.half(), (5,), torch.ones(C), torch.float16)


def test_spikes_count_in_units_of_their_value():
    value = torch.tensor([0.3, 0.7, 1.1])
    spikes = torch.randint(0, 3, (4, B, C, 4, 4)) * value.view(C, 1, 1)
    sent = check(LateralInhibition(), nn.MaxPool2d(2), spikes, (4,), value)
    assert sent.abs().sum() > 0


def test_other_rules_and_windows_are_left_to_others():
    def fits(rule, module, rank=4):
        return can_pool(rule, MaxPool.of_module(module), rank)

    assert fits(Gate(), nn.MaxPool2d(4))
    assert not fits(Gate(), nn.MaxPool2d(5))
    assert not fits(Gate(), nn.AdaptiveMaxPool2d(2))
    assert not fits(Gate(), nn.MaxPool1d(2), 3)
    assert not fits(BeforeNeuron(), nn.MaxPool2d(2))
