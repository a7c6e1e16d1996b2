"""Telescoping where spikes are changes of an estimate: what is sent changes the receiver's estimate to F.

With c what arrived at rest and A the estimate of what arrives (see `conversion.signals.coding`), A_0 = c,
step t sends F(c) + t (F(A_t) - F(A_{t-1})). The receiver divides the change from F(c) by t, so that its
estimate is F(A_t) after every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from conversion.functions.telescope import Telescope
from conversion.signals.signals import Signal, map_structure, over_time, signals_in, zip_structure


class DifferentialTelescope(Telescope):
    """State of one operation between chunks of time; its first call is the step at rest."""

    def __init__(self) -> None:
        super().__init__()
        self._rest: list[Tensor] | None = None  # what arrives at rest, [B, ...] for each signal
        self._value_at_rest: Any = None

    def advance(self, function: Callable[..., Any], args: Any, kwargs: Any, steps: int) -> Any:
        """As `Telescope.advance`; at rest, F of what arrives there."""
        if self._rest is None:
            return self._at_rest(function, args, kwargs)
        return super().advance(function, args, kwargs, steps)

    def advance_elementwise(
        self, function: Callable[[Tensor], Tensor], current: Signal, steps: int
    ) -> Signal:
        """As `Telescope.advance_elementwise`; at rest, F of what arrives there."""
        if self._rest is None:
            resting: Signal = self._at_rest(function, (current,), {})
            return resting
        return super().advance_elementwise(function, current, steps)

    def _at_rest(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self._rest = [signal.data for signal in signals_in([args, kwargs])]
        args, kwargs = map_structure(lambda signal: signal.data, Signal, (args, kwargs))
        self._value = self._value_at_rest = function(*args, **kwargs)
        return over_time([self._value])

    def _weighted(self, index: int, timed: Tensor) -> Tensor:
        """Changes from rest, the change of step t over t."""
        assert self._rest is not None
        return (timed - self._rest[index]) / self._counted(len(timed), timed)

    def _mean(self, index: int, sums: Tensor) -> Tensor:
        """The estimate."""
        assert self._rest is not None
        return self._rest[index] + sums

    def _sent(self, t: int, value: Any) -> Any:
        changes = zip_structure(lambda now, before: t * (now - before), value, self._value)
        return zip_structure(torch.add, changes, self._value_at_rest)

    def _increments(self, t: int | Tensor, values: Tensor, before: Tensor) -> Tensor:
        """F(c) + t (F(A_t) - F(A_{t-1}))."""
        at_rest: Tensor = self._value_at_rest
        return at_rest + t * (values - before)
