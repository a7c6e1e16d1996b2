"""What a spike train means: how a receiver decodes the values that arrive over time.

Between neurons everything is affine, so decoding the output of a layer equals the layer of the
decoded input, for any decoding that is linear in what was sent.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


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


class Differential:
    """Changes of a running estimate: with c the response at rest, c + (x_1 - c) / 1 + ... + (x_t - c) / t.

    Source: Huang et al. 2025 (ICML), arXiv 2503.00301.
    """

    name = "differential"
    needs_rest = True

    def weights(self, done: int, steps: int) -> Tensor | None:
        """1 / k in step k."""
        return 1 / torch.arange(done + 1, done + steps + 1, dtype=torch.float64)

    def presented(self, images: Tensor, done: int, steps: int) -> Tensor:
        """The images in the first step, nothing after it: an estimate that is right need not change."""
        shown = images.new_zeros((1 if done else steps, *images.shape))
        if not done:
            shown[0] = images
        return shown

    def decode(self, total: Tensor, rest: Tensor | None, t: int) -> Tensor:
        """Sum plus rest (1 - (1 + 1/2 + ... + 1/t))."""
        assert rest is not None
        harmonic = sum(1 / k for k in range(1, t + 1))
        return total + rest * (1 - harmonic)


RATE = Rate()
DIFFERENTIAL = Differential()
