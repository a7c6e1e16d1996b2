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

from conversion.signals.signals import Signal, fold, map_structure, signals_in


class Telescope:
    """State of one operation between chunks of time.

    Attributes:
        done: time steps so far.
    """

    def __init__(self) -> None:
        self.done = 0
        self._sums: list[Tensor] = []  # of each signal that arrives, [B, ...]
        self._sent: Any = None  # t F(mean) after the last step, in the function's structure

    def advance(self, function: Callable[..., Any], args: Any, kwargs: Any, steps: int) -> Any:
        """Signals that the operation sends in the next steps, in the function's own structure.

        Args:
            function: stateless, of plain tensors.
            args: its arguments; signals among them are what arrives.
            kwargs: its keyword arguments.
            steps: T. Signals that do not change over time may have one step.
        """
        arriving = signals_in([args, kwargs])
        sums = [self._running(index, signal, steps) for index, signal in enumerate(arriving)]
        sent = []
        for step in range(steps):
            t = self.done + step + 1
            means = iter([total[step] / t for total in sums])
            step_args, step_kwargs = map_structure(partial(_next, means), Signal, (args, kwargs))
            total = map_structure(partial(torch.mul, t), Tensor, function(*step_args, **step_kwargs))
            sent.append(total if self._sent is None else _less(total, self._sent))
            self._sent = total
        self._sums = [total[-1] for total in sums]
        self.done += steps
        return _over_time(sent)

    def _running(self, index: int, signal: Signal, steps: int) -> Tensor:
        """Sums of a signal up to each step [T, B, ...]."""
        total = signal.timed.expand(steps, *signal.timed.shape[1:]).cumsum(0)
        return total + self._sums[index] if self._sums else total


def telescoped(function: Callable[[Tensor], Tensor], current: Tensor, state: dict[str, Any]) -> Tensor:
    """The same for a function of single values, for all steps at once.

    Args:
        function: elementwise.
        current: what arrives, [T, B, ...]; a constant one is repeated.
        state: "done", "sum" and "sent", empty at first; updated in place.

    Returns:
        What is sent, [T, B, ...].
    """
    done, steps = int(state.get("done", 0)), len(current)
    sums = current.cumsum(0)
    if done:
        sums = sums + state["sum"]
    t = torch.arange(done + 1, done + steps + 1, dtype=current.dtype, device=current.device)
    t = t.view(-1, *[1] * (current.ndim - 1))
    totals = t * function((sums / t).flatten(0, 1)).view_as(sums)
    before = state["sent"] if done else torch.zeros_like(totals[0])
    state.update(done=done + steps, sum=sums[-1], sent=totals[-1])
    return torch.diff(totals, dim=0, prepend=before[None])


def _next(means: Iterator[Tensor], signal: Signal) -> Tensor:
    return next(means)


def _less(one: Any, two: Any) -> Any:
    """Difference of two results of one structure, tensor by tensor."""
    if isinstance(one, Tensor):
        return one - two
    if isinstance(one, list | tuple):
        items = [_less(a, b) for a, b in zip(one, two, strict=True)]
        return type(one)(*items) if hasattr(one, "_fields") else type(one)(items)
    return one


def _over_time(results: Sequence[Any]) -> Any:
    """Signals from the results of each step, tensor by tensor."""
    first = results[0]
    if isinstance(first, Tensor):
        return fold(torch.stack(list(results)))
    if isinstance(first, list | tuple):
        items = [_over_time(column) for column in zip(*results, strict=True)]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    return first
