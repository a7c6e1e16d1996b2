"""Increments of t F(mean so far): what is sent up to t is F of the mean of what arrived up to t.

Source: Huang et al. 2025, arXiv 2502.21193, equation of the expectation compensation module; lossless max
pooling (Li and Zeng 2022, arXiv 2204.13271) is the case where F is homogeneous and t cancels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from conversion.signals.memory import differ, room_for
from conversion.signals.signals import (
    Signal,
    Told,
    fold,
    map_structure,
    over_time,
    signals_in,
    zip_structure,
)


class Telescope:
    """State of one operation between chunks of time, for spikes whose mean counts.

    Attributes:
        done: time steps so far.
    """

    def __init__(self) -> None:
        self.done = 0
        self._sums: list[Tensor | None] = []  # of each signal that arrives, [B, ...]; of `Told`, none
        self._value: Any = None  # F after the last step, in the function's structure; None: 0

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
        decoded = self._decoded(signals, steps)
        if together and len({(signal.shape[0], len(signal.shape)) for signal in signals}) == 1:
            return self._all_steps(function, args, kwargs, decoded)
        sent = []
        for step in range(steps):
            now = iter([each[step] for each in decoded])
            step_args, step_kwargs = map_structure(partial(_next, now), Signal, (args, kwargs))
            value = self._defined(function(*step_args, **step_kwargs))
            sent.append(self._sent(step, value))
            self._value = value
        self.done += steps
        return over_time(sent)

    def _all_steps(self, function: Callable[..., Any], args: Any, kwargs: Any, decoded: list[Tensor]) -> Any:
        """The same for images in the first axis, with time folded into it."""
        steps = len(decoded[0])
        flat = iter([each.flatten(0, 1) for each in decoded])
        args, kwargs = map_structure(partial(_next, flat), Signal, (args, kwargs))
        found = map_structure(
            lambda result: result.unflatten(0, (steps, -1)), Tensor, function(*args, **kwargs)
        )
        before = self._value
        if before is None:
            before = map_structure(lambda values: torch.zeros_like(values[0]), Tensor, found)
        found = zip_structure(_finite, found, before)

        told = zip_structure(self._told, found, before)
        self._value = map_structure(_last, Tensor, found)
        self.done += steps
        return told

    def advance_elementwise(
        self, function: Callable[[Tensor], Tensor], current: Signal, steps: int
    ) -> Signal:
        """The same for a function of single values of one signal, for all steps at once."""
        (decoded,) = self._decoded([current], steps)
        return self.follow(function(decoded.flatten(0, 1)).view_as(decoded))

    def follow(self, values: Tensor) -> Signal:
        """What is sent in the next steps so that it has said these values [T, B, ...] after each."""
        before = torch.zeros_like(values[0]) if self._value is None else self._value
        sent = self._increments(values, before, self.done)
        self._value = _last(values)
        self.done += len(values)
        return fold(sent)

    def _told(self, values: Tensor, before: Tensor) -> Told:
        """A signal that has said these values [T, B, ...] after the next steps."""
        done = self.done
        return Told(
            values.flatten(0, 1), len(values), lambda: self._increments(values, before, done).flatten(0, 1)
        )

    def next_elementwise(self, function: Callable[[Tensor], Tensor], now: Tensor) -> Tensor:
        """The same for one step, [B, ...]; sums are added up in place. What it gives may be written over."""
        sums = self._sum_of(now)
        sums += now
        before = torch.zeros_like(now) if self._value is None else self._value * self.done
        self.done += 1
        self._value = function(sums / self.done)
        sent: Tensor = (self._value * self.done).sub_(before)
        return sent

    def split(self, sizes: Sequence[int], like: Tensor) -> list[Telescope]:
        """One for each part of the batch, for an operation on one signal; `join` puts them together.

        Args:
            sizes: images of each part.
            like: a step of the signal, [B, ...].
        """
        parts = [copy.copy(self) for _ in sizes]
        values = [None] * len(sizes) if self._value is None else self._value.split(sizes)
        for part, sums, value in zip(parts, self._sum_of(like).split(sizes), values, strict=True):
            part._sums, part._value = [sums], value
        return parts

    def join(self, parts: Sequence[Telescope]) -> None:
        """Go on from where the parts have come."""
        self.done = parts[0].done
        self._sums = [torch.cat([sums for part in parts for sums in part._sums if sums is not None])]
        self._value = torch.cat([part._value for part in parts])

    def _sum_of(self, like: Tensor) -> Tensor:
        """Sum so far of the only signal that arrives, [B, ...]."""
        (sums,) = self._sums or [None]
        if sums is None:
            sums = torch.zeros_like(like)
            self._sums = [sums]
        return sums

    def _defined(self, value: Any) -> Any:
        """F where it is finite, else its last value: a denominator may be 0 before its first spike.

        After one value that is not finite, no increment would be a number again.
        """
        if self._value is None:
            return map_structure(lambda now: now.where(now.isfinite(), 0.0), Tensor, value)
        return zip_structure(lambda now, before: now.where(now.isfinite(), before), value, self._value)

    def _decoded(self, signals: Sequence[Signal], steps: int) -> list[Tensor]:
        """What each signal has said up to each of the next steps, [T, B, ...]."""
        before: Sequence[Tensor | None] = self._sums or [None] * len(signals)
        sums: list[Tensor | None] = []
        for index, (signal, last) in enumerate(zip(signals, before, strict=True)):
            if isinstance(signal, Told):
                sums.append(None)
                continue
            timed = signal.timed.expand(steps, *signal.timed.shape[1:])
            sums.append(_running(self._weighted(index, timed), last))
        self._sums = [None if total is None else _last(total) for total in sums]
        return [
            signal.said.unflatten(0, (steps, -1))  # type: ignore[attr-defined]
            if total is None
            else self._mean(index, total)
            for index, (signal, total) in enumerate(zip(signals, sums, strict=True))
        ]

    def _weighted(self, index: int, timed: Tensor) -> Tensor:
        """What is summed of a signal [T, B, ...]."""
        return timed

    def _mean(self, index: int, sums: Tensor) -> Tensor:
        """What a signal has decoded to by its sums up to each step, [T, B, ...]; they may be written over."""
        counted = self._counted(len(sums), sums, self.done)
        return sums / counted if sums.requires_grad else sums.div_(counted)

    def _counted(self, steps: int, like: Tensor, done: int) -> Tensor:
        """Number of each of the steps after `done`, [T, 1, ...]."""
        t = torch.arange(done + 1, done + steps + 1, dtype=like.dtype, device=like.device)
        return t.view(-1, *[1] * (like.ndim - 1))

    def _sent(self, step: int, value: Any) -> Any:
        """Increment of one of the next steps, counted from 0, in the function's structure."""
        t = self.done + step + 1
        if self._value is None:
            return map_structure(partial(torch.mul, t), Tensor, value)
        return zip_structure(lambda now, before: t * now - (t - 1) * before, value, self._value)

    def _increments(self, values: Tensor, before: Tensor, done: int) -> Tensor:
        """Increments t F(mean) - (t - 1) F(mean before) of steps [T, B, ...] after `done`."""
        return differ(self._counted(len(values), values, done) * values, done * before)


def _last(values: Tensor) -> Tensor:
    """The last step of values [T, B, ...], without the memory of the others."""
    return values[-1].clone()


def _finite(values: Tensor, before: Tensor) -> Tensor:
    """Values [T, B, ...] where they are finite, else the last one that was; see `Telescope._defined`."""
    if values.device.type == "cpu" and math.isfinite(values.detach().sum()):  # elsewhere, it would wait
        return values
    kept = []
    for now in values:
        before = now.where(now.isfinite(), before)
        kept.append(before)
    return torch.stack(kept)


def _running(timed: Tensor, before: Tensor | None) -> Tensor:
    """Sums up to each step [T, B, ...], added one after the other, so that rounding knows of no chunks.

    Args:
        timed: [T, B, ...].
        before: sum of earlier chunks.
    """
    total = timed.new_zeros(timed.shape[1:]) if before is None else before
    if timed.requires_grad:  # where weights are refitted; gradients do not flow into what is written over
        totals = []
        for one in timed:
            total = total + one
            totals.append(total)
        return torch.stack(totals)
    sums = room_for(timed, len(timed))
    for step, one in enumerate(timed):
        total = torch.add(total, one, out=sums[step])
    return sums


def _next(values: Iterator[Tensor], signal: Signal) -> Tensor:
    return next(values)
