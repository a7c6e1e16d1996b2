"""What a spike train means: how a receiver decodes the values that arrive over time.

Between neurons everything is affine, so decoding the output of a layer equals the layer of the
decoded input, for any decoding that is linear in what was sent.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from conversion.signals.memory import room_for


class Coding(Protocol):
    """A linear decoding of values x_1, x_2, ... that arrive in steps 1, 2, ..."""

    name: str
    needs_rest: bool  # a step in which no layer sends anything has to come first

    def weights(self, done: int, steps: int) -> Tensor | None:
        """Weight [T] of each of the `steps` values after the first `done`; None: all 1."""
        ...

    def presented(self, images: Tensor, done: int, steps: int) -> Tensor:
        """What is shown of the images [B, ...] in the `steps` steps after the first `done`.

        Returns:
            [T, B, ...], or [1, B, ...] if the same is shown in each of these steps.
        """
        ...

    def decode(self, total: Tensor, rest: Tensor | None, t: int) -> Tensor:
        """Decoded value after t steps, from the weighted sum and the response at rest."""
        ...


class Rate:
    """The mean: (x_1 + ... + x_t) / t."""

    name = "rate"
    needs_rest = False

    def weights(self, done: int, steps: int) -> Tensor | None:
        """All 1."""
        return None

    def presented(self, images: Tensor, done: int, steps: int) -> Tensor:
        """The images, in every step."""
        return images[None]

    def decode(self, total: Tensor, rest: Tensor | None, t: int) -> Tensor:
        """Sum over steps."""
        return total / t


class Changes:
    """Changes of a running estimate: with c the response at rest, c + w_1 (x_1 - c) + ... + w_t (x_t - c).

    Subclasses say how much a step counts.
    """

    name: str
    needs_rest = True

    def weight(self, k: int) -> float:
        """w_k of step k = 1, 2, ..."""
        raise NotImplementedError

    def weights(self, done: int, steps: int) -> Tensor | None:
        """w_k in step k."""
        return torch.tensor([self.weight(done + k) for k in range(1, steps + 1)], dtype=torch.float64)

    def presented(self, images: Tensor, done: int, steps: int) -> Tensor:
        """The images in the first step, nothing after it: an estimate that is right need not change."""
        shown = room_for(images[None], 1 if done else steps).zero_()
        if not done:
            shown[0] = images / self.weight(1)
        return shown

    def decode(self, total: Tensor, rest: Tensor | None, t: int) -> Tensor:
        """Sum plus rest (1 - (w_1 + ... + w_t))."""
        assert rest is not None
        return total + rest * (1 - sum(self.weight(k) for k in range(1, t + 1)))


class Differential(Changes):
    """The change of step k counts 1 / k: the later, the less.

    Source: Huang et al. 2025 (ICML), arXiv 2503.00301.
    """

    name = "differential"

    def weight(self, k: int) -> float:
        """1 / k."""
        return 1 / k


class Accumulated(Changes):
    """Every change counts 1: the estimate is the sum of all that was sent.

    Source: You et al. 2024 (ICML), arXiv 2406.03470.
    """

    name = "accumulated"

    def weight(self, k: int) -> float:
        """1."""
        return 1.0


LEAST = 1e-20  # weight of a step, of a threshold: changes can be divided by it in float32


class Decaying(Changes):
    """The change of step k counts reach (1 - decay) decay^(k - 1): all of them together, `reach`.

    Args:
        reach: sum of all weights.
        decay: weight of a step over that of the step before, in (0, 1).

    Source: Oh and Lee 2024 (ICML), arXiv 2407.01645, with steps of 0.15 0.95^k.
    """

    name = "decaying"

    def __init__(self, reach: float, decay: float) -> None:
        self.reach, self.decay = reach, decay

    def weight(self, k: int) -> float:
        """reach (1 - decay) decay^(k - 1), or `LEAST`."""
        return max(self.reach * (1 - self.decay) * float(self.decay ** (k - 1)), LEAST)


RATE = Rate()
DIFFERENTIAL = Differential()
ACCUMULATED = Accumulated()
