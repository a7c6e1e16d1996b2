"""Plain, slow counterparts of the spiking parts, as fixtures: the truth that tests compare with.

Neurons count one number at a time; pools keep a copy of every input for every window.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Tensors here are tiny: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class ScalarNeuron:
    """One neuron in units of its threshold; `variant` None is a burst neuron without retraction."""

    def __init__(
        self, v: float = 0.0, gamma: int = 1, allowance: int = 0, variant: str | None = None
    ) -> None:
        self.v, self.gamma, self.allowance, self.variant = v, gamma, allowance, variant
        self.t = self.firing_steps = self.last = self.retracted = 0
        self.mean_interval, self.sent = Fraction(0), 0.0

    def __call__(self, current: float) -> float:
        self.v += current
        spikes = 0
        while spikes < self.gamma and self.v >= 1:
            self.v -= 1
            spikes += 1
        if self.variant is not None:
            spikes = self._calibrate(spikes)
        self.t += 1
        return float(spikes)

    def _calibrate(self, spikes: int) -> int:
        if spikes > 0:
            self.firing_steps += 1
            interval, others = self.t - self.last, self.firing_steps - 1
            self.mean_interval = Fraction(interval + self.mean_interval * others, self.firing_steps)
            self.last = self.t
        overdue = self.t - self.last > self.mean_interval + self.allowance
        if self.variant == "code":
            self.sent += spikes - overdue
            return 0 if self.sent <= -1 else spikes - overdue
        if overdue and self.firing_steps > 0 and self.sent >= 1:
            spikes -= 1
            self.retracted += 1
            if self.variant == "cons":
                self.v += 1
        self.sent += spikes
        return spikes


@pytest.fixture
def scalar_neuron() -> type[ScalarNeuron]:
    return ScalarNeuron


Window = tuple[tuple[int, ...], ...]  # positions, one index per axis


def windows_along(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> list[list[int]]:
    """Input positions of every window along one axis; padding holds no values."""
    found: list[list[int]] = []
    start = -padding
    while True:
        end = start + dilation * (kernel - 1) + 1
        if not ceil_mode and end > size + padding:
            return found
        # Ceil mode adds a window that sticks out, unless it would start right of the input.
        if ceil_mode and (start >= size or (found and start - stride + (end - start) >= size + padding)):
            return found
        found.append([i for i in range(start, end, dilation) if 0 <= i < size])
        start += stride


def adaptive_along(size: int, outputs: int) -> list[list[int]]:
    return [list(range(i * size // outputs, -(-(i + 1) * size // outputs))) for i in range(outputs)]


class NaivePool:
    """Max pooling of a spike train, window by window; `axes` lists the windows along each axis."""

    def __init__(self, axes: list[list[list[int]]]) -> None:
        self.shape = [len(axis) for axis in axes]
        self.windows: list[Window] = [tuple(itertools.product(*w)) for w in itertools.product(*axes)]

    @classmethod
    def like(cls, module: Any, size: tuple[int, ...]) -> NaivePool:
        def each(value: Any) -> list[Any]:
            return list(value) if isinstance(value, tuple) else [value] * len(size)

        if hasattr(module, "output_size"):
            return cls([adaptive_along(*axis) for axis in zip(size, each(module.output_size), strict=True)])
        settings = (module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)
        return cls([windows_along(*axis) for axis in zip(size, *map(each, settings), strict=True)])

    def step(self, values: Tensor) -> Tensor:
        """One step of [B, C, ...]."""
        outputs = [self.emit(i, _gather(values, window)) for i, window in enumerate(self.windows)]
        return torch.stack(outputs, -1).unflatten(-1, self.shape)

    def emit(self, index: int, values: Tensor) -> Tensor:
        raise NotImplementedError


def _gather(values: Tensor, window: Window) -> Tensor:
    return values[(..., *map(list, zip(*window, strict=True)))]


class NaiveInhibition(NaivePool):
    """Every window holds a copy of its inputs; the winner's charge is taken off all of them."""

    def __init__(self, axes: list[list[list[int]]]) -> None:
        super().__init__(axes)
        self.copies: dict[int, Tensor] = {}

    def emit(self, index: int, values: Tensor) -> Tensor:
        charge = self.copies.get(index, torch.zeros_like(values)) + values
        winner = charge.max(-1).values
        self.copies[index] = charge - winner.unsqueeze(-1)
        return winner


class NaiveGate(NaivePool):
    """Every window lets through the input that has sent most; the first one at a tie."""

    def __init__(self, axes: list[list[list[int]]]) -> None:
        super().__init__(axes)
        self.sent: dict[int, Tensor] = {}

    def emit(self, index: int, values: Tensor) -> Tensor:
        self.sent[index] = self.sent.get(index, torch.zeros_like(values)) + values
        passed = [
            now[max(range(len(total)), key=total.__getitem__)]
            for total, now in zip(
                self.sent[index].flatten(0, 1).tolist(), values.flatten(0, 1).tolist(), strict=True
            )
        ]
        return torch.tensor(passed, dtype=values.dtype).view(values.shape[:2])


@pytest.fixture
def naive_inhibition() -> type[NaivePool]:
    return NaiveInhibition


@pytest.fixture
def naive_gate() -> type[NaivePool]:
    return NaiveGate


class Branchy(nn.Module):
    """Residual sum, concatenation, max and average pooling, batch norms; for [B, 3, 8, 8].

    The image itself, which does not change over time, takes part in the sum and the concatenation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.left = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.right = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, groups=2), nn.BatchNorm2d(6))
        self.skip = nn.Conv2d(3, 6, 1)
        self.joined = nn.ReLU(inplace=True)
        self.side = nn.Sequential(nn.Conv2d(6, 3, 1), nn.ReLU())
        self.last_pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.average = nn.AvgPool2d(2, 1)
        self.head = nn.Linear(12, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.pool(self.stem(image))
        small = F.avg_pool2d(image, 2)
        x = self.joined(self.right(self.left(x)) + x + self.skip(small))
        x = torch.cat([x, self.side(x), small], 1)
        x = self.average(self.last_pool(x))
        return self.head(x.flatten(1))


def settled(network: nn.Module, size: tuple[int, ...] = (3, 8, 8)) -> nn.Module:
    """The network in double precision, with batch-norm statistics of its own activations."""
    network.double()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None
            if module.affine:
                nn.init.uniform_(module.weight, 0.7, 1.3)
                nn.init.normal_(module.bias, 0.2, 0.3)
    with torch.no_grad():
        network.train()(torch.randn(64, *size, dtype=torch.float64))
    return network.eval()


@pytest.fixture
def settle() -> Callable[..., nn.Module]:
    return settled


@pytest.fixture
def branchy() -> nn.Module:
    return settled(Branchy())


@pytest.fixture
def images() -> Tensor:
    return torch.randn(5, 3, 8, 8, dtype=torch.float64)


@pytest.fixture
def calibration() -> Tensor:
    return torch.randn(40, 3, 8, 8, dtype=torch.float64)
