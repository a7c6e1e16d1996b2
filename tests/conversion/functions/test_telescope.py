"""The law of telescoping: the mean of what was sent is the function of the mean of what arrived."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.functions.differential import DifferentialTelescope
from conversion.functions.telescope import Telescope
from conversion.signals.coding import ACCUMULATED, DIFFERENTIAL, Coding, Decaying
from conversion.signals.signals import Signal, fold

STEPS, BATCH = 12, 3
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "softmax": lambda x: x.softmax(-1),
    "layer norm": lambda x: F.layer_norm(x, (5,)),
    "group norm": lambda x: F.group_norm(x, 2),
    "normalise": F.normalize,
    "square": torch.square,
    "smallest": lambda x: x.amin(2),
    "constant over signal": lambda x: 1 / (x.abs() + 1),
    "parts": lambda x: x.square().chunk(2, 1),
}
OF_TWO: dict[str, Callable[..., Any]] = {
    "product": lambda x, y: x * y,
    "matrices": lambda x, y: x @ y.transpose(-2, -1),
    "quotient": lambda x, y: x / (y.abs() + 1),
    "maximum": torch.maximum,
}


def means(results: list[Signal], shape: torch.Size) -> Tensor:
    """Means up to each step, [T, ...]."""
    sent = torch.cat([signal.timed for signal in results])
    t = torch.arange(1, len(sent) + 1, dtype=sent.dtype).view(-1, *[1] * len(shape))
    return sent.cumsum(0) / t


@pytest.mark.parametrize("chunks", [(12,), (1,) * 12, (5, 4, 3)])
@pytest.mark.parametrize("name", [*FUNCTIONS, *OF_TWO])
@pytest.mark.parametrize("together", [False, True])
def test_the_mean_sent_is_the_function_of_the_mean_that_arrived(
    name: str, chunks: tuple[int, ...], together: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    function = FUNCTIONS.get(name) or OF_TWO[name]
    arrived = [
        torch.randn(STEPS, BATCH, 4, 5, generator=generator, dtype=torch.float64)
        for _ in range(2 if name in OF_TWO else 1)
    ]
    telescope, results, now = Telescope(), [], 0
    for steps in chunks:
        signals = [fold(each[now : now + steps]) for each in arrived]
        result = telescope.advance(function, tuple(signals), {}, steps, together)
        results.append(result[0] if isinstance(result, list | tuple) else result)
        now += steps
    for t in range(1, STEPS + 1):
        expected = function(*(each[:t].mean(0) for each in arrived))
        expected = expected[0] if isinstance(expected, tuple) else expected
        torch.testing.assert_close(means(results, expected.shape)[t - 1], expected)


def test_all_steps_run_in_one_call_where_images_come_first() -> None:
    calls: list[torch.Size] = []

    def square(x: Tensor, y: Tensor) -> Tensor:
        calls.append(x.shape)
        return x * y

    signal, other = (fold(torch.rand(STEPS, BATCH, 4)) for _ in range(2))
    Telescope().advance(square, (signal, other), {}, STEPS, together=True)
    assert calls == [(STEPS * BATCH, 4)]
    wide = fold(torch.rand(STEPS, BATCH, 1, 4))  # other axes: how they meet depends on the size of the batch
    Telescope().advance(square, (signal, wide), {}, STEPS, together=True)
    assert calls[1:] == [(BATCH, 4)] * STEPS


def test_a_constant_beside_a_signal_is_repeated() -> None:
    constant, signal = torch.rand(BATCH, 4), torch.rand(STEPS, BATCH, 4)
    sent = Telescope().advance(torch.mul, (Signal(constant, 1), fold(signal)), {}, STEPS)
    torch.testing.assert_close(sent.timed.mean(0), constant * signal.mean(0))


@pytest.mark.parametrize("chunks", [(12,), (1,) * 12, (7, 5)])
def test_elementwise_functions_are_telescoped_all_at_once(chunks: tuple[int, ...]) -> None:
    arrived = torch.randn(STEPS, BATCH, 4, dtype=torch.float64)
    telescope, sent, now = Telescope(), [], 0
    for steps in chunks:
        signal = fold(arrived[now : now + steps])
        sent.append(telescope.advance_elementwise(F.silu, signal, steps).timed)
        now += steps
    t = torch.arange(1, STEPS + 1, dtype=torch.float64).view(-1, 1, 1)
    torch.testing.assert_close(torch.cat(sent).cumsum(0) / t, F.silu(arrived.cumsum(0) / t))


@pytest.mark.parametrize("coding", [DIFFERENTIAL, ACCUMULATED, Decaying(2.0, 0.9)], ids=lambda c: c.name)
@pytest.mark.parametrize("chunks", [(12,), (1,) * 12, (5, 4, 3)])
@pytest.mark.parametrize("name", [*FUNCTIONS, *OF_TWO, "elementwise"])
def test_a_receiver_of_changes_estimates_the_function_of_the_estimates(
    name: str, chunks: tuple[int, ...], coding: Coding
) -> None:
    """Decoded as the coding says, from what was sent at rest: F of what is decoded of what arrived."""
    generator = torch.Generator().manual_seed(0)
    function = F.silu if name == "elementwise" else FUNCTIONS.get(name) or OF_TWO[name]
    rest, arrived = (
        [
            torch.randn(steps, BATCH, 4, 5, generator=generator, dtype=torch.float64)
            for _ in range(2 if name in OF_TWO else 1)
        ]
        for steps in (1, STEPS)
    )
    telescope, results, now = DifferentialTelescope(coding), [], -1
    for steps in (1, *chunks):  # at rest, and after it
        parts = rest if now < 0 else [each[now : now + steps] for each in arrived]
        if name == "elementwise":
            results.append(telescope.advance_elementwise(function, fold(parts[0]), steps))
        else:
            result = telescope.advance(function, tuple(fold(each) for each in parts), {}, steps)
            results.append(result[0] if isinstance(result, list | tuple) else result)
        now = max(now, 0) + (steps if now >= 0 else 0)
    sent = torch.cat([signal.timed for signal in results])
    for t in range(1, STEPS + 1):
        weights = coding.weights(0, t).view(-1, *[1] * 3)
        estimates = [
            coding.decode((each[:t] * weights).sum(0), start[0], t)
            for each, start in zip(arrived, rest, strict=True)
        ]
        expected = function(*estimates)
        expected = expected[0] if isinstance(expected, tuple) else expected
        weights = weights.view(-1, *[1] * (sent.ndim - 1))
        found = coding.decode((sent[1 : t + 1] * weights).sum(0), sent[0], t)
        torch.testing.assert_close(found, expected)


def test_a_function_that_is_not_finite_at_first_recovers() -> None:
    telescope, sent = Telescope(), []
    one, two = torch.tensor([[[1.0]], [[2.0]], [[3.0]]]), torch.tensor([[[0.0]], [[0.0]], [[3.0]]])
    for step in range(3):
        signals = Signal(one[step], 1), Signal(two[step], 1)
        sent.append(telescope.advance(torch.div, signals, {}, 1).data)
    assert torch.stack(sent[:2]).isfinite().all()
    assert float(sum(sent)) == pytest.approx(3 * 2.0 / 1.0)  # t F(means): 3 (6 / 3) / (3 / 3)
