import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion.pooling import Gate, LateralInhibition, MaxPool, PerStep, Pooling

GRID_2D = [
    nn.MaxPool2d(k, s, p, d, ceil_mode=c)
    for k, s, p, d, c in itertools.product((2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True))
]
OTHERS = [
    (nn.MaxPool2d((3, 2), (2, 1), (1, 0)), (7, 5)),
    (nn.MaxPool2d(5, 1, 2), (5, 7)),
    (nn.AdaptiveMaxPool2d(1), (5, 7)),
    (nn.AdaptiveMaxPool2d(3), (7, 5)),
    (nn.AdaptiveMaxPool2d((2, 4)), (5, 9)),
    (nn.MaxPool1d(3, 2, 1), (9,)),
    (nn.MaxPool1d(3, 2, 1, ceil_mode=True), (10,)),
    (nn.MaxPool1d(2, dilation=3), (11,)),
    (nn.AdaptiveMaxPool1d(4), (11,)),
    (nn.MaxPool3d(2, 1), (3, 4, 3)),
    (nn.AdaptiveMaxPool3d(2), (3, 4, 3)),
]
CASES = [(module, (7, 9)) for module in GRID_2D] + OTHERS


def trains(size: tuple[int, ...], steps: int = 9) -> Tensor:
    """Signed spikes with many ties, [T, 2, 3, ...]."""
    return torch.randint(-1, 3, (steps, 2, 3, *size)).double()


def in_chunks(rule: Pooling, pool: MaxPool, values: Tensor, lengths: list[int]) -> Tensor:
    parts, state = [], {}
    for chunk in values.split(lengths):
        pooled, state = rule.scan(pool, chunk, state)
        parts.append(pooled)
    return torch.cat(parts)


@pytest.mark.parametrize(("module", "size"), CASES, ids=str)
def test_lateral_inhibition_is_lossless_at_every_step(module: nn.Module, size: tuple[int, ...]) -> None:
    values = trains(size)
    sent, _ = LateralInhibition().scan(MaxPool.of_module(module), values, {})
    for t in range(1, len(values) + 1):
        assert torch.equal(sent[:t].sum(0), module(values[:t].sum(0)))


@pytest.mark.parametrize(("module", "size"), CASES[::3] + OTHERS, ids=str)
def test_lateral_inhibition_equals_copies_for_each_window(module, size, naive_inhibition) -> None:
    values = trains(size, 5)
    sent, _ = LateralInhibition().scan(MaxPool.of_module(module), values, {})
    naive = naive_inhibition.like(module, size)
    assert torch.equal(sent, torch.stack([naive.step(now) for now in values]))


def test_lateral_inhibition_equals_the_unfolded_form_of_the_paper() -> None:
    # As published for any window: k * k copies a window, each with its own charge.
    values = torch.randint(0, 6, (8, 2, 3, 9, 9)).double()
    charge = torch.zeros(2, 3, 9, 16, dtype=torch.float64)
    expected = []
    for now in values:
        charge += F.unfold(now, 3, stride=2).view(2, 3, 9, 16)
        winner = charge.amax(2, keepdim=True)
        charge -= winner
        expected.append(winner.view(2, 3, 4, 4))
    sent, _ = LateralInhibition().scan(MaxPool.of_module(nn.MaxPool2d(3, 2)), values, {})
    assert torch.equal(sent, torch.stack(expected))


@pytest.mark.parametrize(("module", "size"), CASES[::3] + OTHERS, ids=str)
def test_gate_passes_the_spike_of_the_leader(module, size, naive_gate) -> None:
    values = trains(size, 6)
    passed, _ = Gate().scan(MaxPool.of_module(module), values, {})
    naive = naive_gate.like(module, size)
    assert torch.equal(passed, torch.stack([naive.step(now) for now in values]))


def test_gate_is_biased_by_a_former_leader_and_lateral_inhibition_is_not() -> None:
    first, second = [1.0, 1, 0, 0, 0, 0], [0.0, 0, 1, 1, 1, 1]
    values = torch.tensor([first, second]).T.reshape(6, 1, 1, 1, 2)
    pool = MaxPool.of_module(nn.MaxPool2d((1, 2)))
    passed, _ = Gate().scan(pool, values, {})
    sent, _ = LateralInhibition().scan(pool, values, {})
    assert passed.flatten().tolist() == [1, 1, 0, 0, 1, 1]
    assert sent.flatten().tolist() == [1, 1, 0, 0, 1, 1]
    one, _ = Gate().scan(pool, values.flip(0), {})  # the slow one leads late
    assert one.sum() == 4
    alternating = torch.eye(2).repeat(3, 1).reshape(6, 1, 1, 1, 2)
    assert Gate().scan(pool, alternating, {})[0].sum() == 3
    assert PerStep().scan(pool, alternating, {})[0].sum() == 6


def test_per_step_pools_each_step_alone() -> None:
    values = trains((6, 6))
    module = nn.MaxPool2d(3, 2, 1)
    pooled, state = PerStep().scan(MaxPool.of_module(module), values, {})
    assert torch.equal(pooled, torch.stack([module(now) for now in values]))
    assert state == {}


@pytest.mark.parametrize("rule", [LateralInhibition(), Gate(), PerStep()], ids=lambda rule: rule.name)
@pytest.mark.parametrize("lengths", [[1] * 9, [3, 3, 3], [2, 6, 1], [8, 1]], ids=str)
@pytest.mark.parametrize("module", [nn.MaxPool2d(3, 2, 1), nn.AdaptiveMaxPool2d(2)], ids=str)
def test_chunks_of_any_length_make_one_scan(rule: Pooling, lengths: list[int], module: nn.Module) -> None:
    values = trains((7, 9))
    kept = values.clone()
    pool = MaxPool.of_module(module)
    assert torch.equal(in_chunks(rule, pool, values, lengths), rule.scan(pool, values, {})[0])
    assert torch.equal(values, kept)


@pytest.mark.parametrize("rule", [LateralInhibition(), Gate()], ids=lambda rule: rule.name)
def test_state_holds_maps_and_not_time(rule: Pooling) -> None:
    pool = MaxPool.of_module(nn.MaxPool2d(2))
    _, state = rule.scan(pool, trains((6, 6), 50), {})
    for value in state.values():
        assert value.untyped_storage().nbytes() <= 2 * 3 * 36 * 8


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("max_pool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
        ("max_pool2d", {"kernel_size": 2, "dilation": 2}),
        ("adaptive_max_pool2d", {"output_size": (2, 3)}),
    ],
)
def test_functions_pool_like_torch(name: str, settings: dict) -> None:
    values = torch.randn(2, 3, 7, 8)
    pool = MaxPool.of_function(name, settings)
    expected, indices = getattr(F, name)(values, **settings, return_indices=True)
    assert torch.equal(pool(values), expected)
    assert torch.equal(pool.winners(values), indices)
