"""Increments of t F(mean so far): what is sent up to t is F of the mean of what arrived up to t.

Source: Huang et al. 2025, arXiv 2502.21193, equation of the expectation compensation module; lossless max
pooling (Li and Zeng 2022, arXiv 2204.13271) is the case where F is homogeneous and t cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from conversion.signals.signals import (
    Signal,
    fold,
    map_structure,
    over_time,
    signals_in,
    zip_structure,
)


class Telescope:
    """State of one operation between chunks of time.

    Attributes:
        done: time steps so far.
    """

    def __init__(self) -> None:
        self.done = 0
        self._sums: list[Tensor] = []  # of each signal that arrives, [B, ...]
        self._sent: Any = None  # t F(mean) after the last step, in the function's structure

    def advance(
        self, function: Callable[..., Any], args: Any, kwargs: Any, steps: int, together: bool = False
    ) -> Any:
        """Signals that the operation sends in the next steps, in the function's own structure.

        Args:
            function: stateless, of plain tensors.
            args: its arguments; signals among them are what arrives.
            kwargs: its keyword arguments.
            steps: T. Signals that do not change over time may have one step.
            together: images are the first axis of all that arrives and leaves, and do not meet; the function
                then runs once for all steps where the shapes of its arguments allow it.
        """
        signals = signals_in([args, kwargs])
        sums = self._arrived(signals, steps)
        if together and len({(signal.shape[0], signal.data.ndim) for signal in signals}) == 1:
            return self._all_steps(function, args, kwargs, sums)
        sent = []
        for step in range(steps):
            t = self.done + step + 1
            means = iter([total[step] / t for total in sums])
            step_args, step_kwargs = map_structure(partial(_next, means), Signal, (args, kwargs))
            total = map_structure(partial(torch.mul, t), Tensor, function(*step_args, **step_kwargs))
            sent.append(total if self._sent is None else zip_structure(torch.sub, total, self._sent))
            self._sent = total
        self.done += steps
        return over_time(sent)

    def _all_steps(self, function: Callable[..., Any], args: Any, kwargs: Any, sums: list[Tensor]) -> Any:
        """The same for images in the first axis, with time folded into it."""
        steps = len(sums[0])
        t = torch.arange(self.done + 1, self.done + steps + 1, dtype=sums[0].dtype, device=sums[0].device)

        def times(value: Tensor) -> Tensor:
            return t.view(-1, *[1] * (value.ndim - 1))

        means = iter([(total / times(total)).flatten(0, 1) for total in sums])
        args, kwargs = map_structure(partial(_next, means), Signal, (args, kwargs))

        def total_of(result: Tensor) -> Tensor:
            timed: Tensor = result.unflatten(0, (steps, -1))
            return times(timed) * timed

        totals = map_structure(total_of, Tensor, function(*args, **kwargs))
        before, self._sent = self._sent, map_structure(lambda total: total[-1], Tensor, totals)
        self.done += steps
        if before is None:
            before = map_structure(torch.zeros_like, Tensor, self._sent)
        return map_structure(fold, Tensor, zip_structure(_increments, totals, before))

    def advance_elementwise(
        self, function: Callable[[Tensor], Tensor], current: Signal, steps: int
    ) -> Signal:
        """The same for a function of single values of one signal, for all steps at once."""
        (sums,) = self._arrived([current], steps)
        t = torch.arange(self.done + 1, self.done + steps + 1, dtype=sums.dtype, device=sums.device)
        t = t.view(-1, *[1] * (sums.ndim - 1))
        totals = t * function((sums / t).flatten(0, 1)).view_as(sums)
        before = torch.zeros_like(totals[0]) if self._sent is None else self._sent
        self._sent = totals[-1]
        self.done += steps
        return fold(_increments(totals, before))

    def _arrived(self, signals: Sequence[Signal], steps: int) -> list[Tensor]:
        """Sums of each signal up to each of the next steps, [T, B, ...]; the last ones are kept."""
        before: Sequence[Tensor | None] = self._sums or [None] * len(signals)
        sums = [_running(each.timed, steps, last) for each, last in zip(signals, before, strict=True)]
        self._sums = [total[-1] for total in sums]
        return sums


def _increments(totals: Tensor, before: Tensor) -> Tensor:
    """Differences from step to step [T, B, ...], the first from what was `before` [B, ...]."""
    return torch.diff(totals, dim=0, prepend=before[None])


def _running(timed: Tensor, steps: int, before: Tensor | None) -> Tensor:
    """Sums up to each step [T, B, ...], added one after the other, so that rounding knows of no chunks.

    Args:
        timed: [T, B, ...], or [1, B, ...] of what does not change.
        steps: T.
        before: sum of earlier chunks.
    """
    sums = timed.new_empty((steps, *timed.shape[1:]))
    total = timed.new_zeros(timed.shape[1:]) if before is None else before
    for step in range(steps):
        total = torch.add(total, timed[min(step, len(timed) - 1)], out=sums[step])
    return sums


def _next(means: Iterator[Tensor], signal: Signal) -> Tensor:
    return next(means)
