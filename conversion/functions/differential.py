"""Telescoping where spikes are changes of an estimate: what is sent changes the receiver's estimate to F.

With c what arrived at rest, A the estimate of what arrives (it starts at c), and w the weight of a step (see
`conversion.signals.coding`), step t sends F(c) + (F(A_t) - F(A_{t-1})) / w_t. The receiver weighs the change
from F(c) with w_t, so that its estimate is F(A_t) after every step.

Source: Huang et al. 2025 (ICML), arXiv 2503.00301.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from conversion.functions.telescope import Telescope
from conversion.signals.coding import Changes
from conversion.signals.signals import Signal, Told, map_structure, signals_in, zip_structure


class DifferentialTelescope(Telescope):
    """State of one operation between chunks of time; its first call is the step at rest.

    Args:
        coding: of everything that arrives and of what is sent.

    Attributes:
        rest: what arrives at rest, [B, ...] for each signal.
    """

    def __init__(self, coding: Changes) -> None:
        super().__init__()
        self._coding = coding
        self.rest: list[Tensor] | None = None
        self._value_at_rest: Any = None

    def advance(
        self, function: Callable[..., Any], args: Any, kwargs: Any, steps: int, together: bool = False
    ) -> Any:
        """As `Telescope.advance`; at rest, F of what arrives there."""
        if self.rest is None:
            return self._at_rest(function, args, kwargs)
        return super().advance(function, args, kwargs, steps, together)

    def advance_elementwise(
        self, function: Callable[[Tensor], Tensor], current: Signal, steps: int
    ) -> Signal:
        """As `Telescope.advance_elementwise`; at rest, F of what arrives there."""
        if self.rest is None:
            resting: Signal = self._at_rest(function, (current,), {})
            return resting
        return super().advance_elementwise(function, current, steps)

    def _at_rest(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self.rest = [signal.data for signal in signals_in([args, kwargs])]
        args, kwargs = map_structure(lambda signal: signal.data, Signal, (args, kwargs))
        self._value = self._value_at_rest = function(*args, **kwargs)
        return map_structure(self._told_at_rest, Tensor, self._value)

    def follow(self, values: Tensor) -> Signal:
        """As `Telescope.follow`; at rest, the values themselves."""
        if self.rest is None:
            self.rest, self._value = [values[0]], values[0]
            self._value_at_rest = self._value
            return self._told_at_rest(values[0])
        return super().follow(values)

    def _told_at_rest(self, value: Tensor) -> Told:
        """What arrives at rest is what an estimate starts from."""
        return Told(value, 1, lambda: value)

    def _weighted(self, index: int, timed: Tensor) -> Tensor:
        """Changes from rest, times their weights."""
        assert self.rest is not None
        return (timed - self.rest[index]) * self._weights(len(timed), timed, self.done)

    def _mean(self, index: int, sums: Tensor) -> Tensor:
        """The estimate."""
        assert self.rest is not None
        return self.rest[index] + sums

    def _sent(self, step: int, value: Any) -> Any:
        def change(now: Tensor, before: Tensor) -> Tensor:
            return (now - before) / self._coding.weight(self.done + step + 1)

        return zip_structure(torch.add, zip_structure(change, value, self._value), self._value_at_rest)

    def _increments(self, values: Tensor, before: Tensor, done: int) -> Tensor:
        """F(c) + (F(A_t) - F(A_{t-1})) / w_t."""
        at_rest: Tensor = self._value_at_rest
        return at_rest + values.diff(dim=0, prepend=before[None]) / self._weights(len(values), values, done)

    def _weights(self, steps: int, like: Tensor, done: int) -> Tensor:
        """Weights of the steps after `done`, [T, 1, ...]."""
        weights = self._coding.weights(done, steps)
        assert weights is not None
        return weights.to(like).view(-1, *[1] * (like.ndim - 1))
