"""Values of a simulation: tensors that carry time folded into their batch axis.

A signal holds T time steps of a batch of B images as [T * B, ...], time first, so that every affine
operation of the network runs on it unchanged. A value that does not change over time has T = 1 and
is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from conversion.signals.memory import flat, sum_over_time


@dataclass(frozen=True)
class Signal:
    """`steps` time steps of a value, [steps * B, ...]."""

    data: Tensor
    steps: int

    @property
    def timed(self) -> Tensor:
        """The value as [T, B, ...]."""
        timed: Tensor = self.data.unflatten(0, (self.steps, -1))
        return timed

    @property
    def shape(self) -> torch.Size:
        """Shape in one time step, [B, ...]: what the network's own code sees."""
        return torch.Size((self.data.shape[0] // self.steps, *self.data.shape[1:]))

    def over(self, steps: int) -> Signal:
        """The same value for `steps` steps; a constant value is repeated."""
        if self.steps == steps:
            return self
        repeats = (steps, *([1] * (self.data.ndim - 1)))
        return Signal(self.data.repeat(repeats), steps)


class Total(Signal):
    """The sum of a value over a whole window of time, where no more of it is read.

    Attributes:
        data: the sum, [B, ...].
        window: time steps in it.
    """

    window: int

    def __init__(self, data: Tensor, window: int) -> None:
        for name, value in (("data", data), ("steps", 1), ("window", window)):
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, signal: Signal, window: int) -> Total:
        """The sum of a signal; one that does not change over time counts `window` times."""
        if isinstance(signal, Total):
            return signal
        if isinstance(signal, Spikes):
            sums = sum_over_time(signal.counts.unflatten(0, (signal.steps, -1)), torch.float32)
            return cls(sums * signal.spike_value * (window // signal.steps), window)
        return cls(signal.data * window if signal.steps == 1 else sum_over_time(signal.timed), window)

    @property
    def mean(self) -> Signal:
        """The mean over the window, which does not change over time."""
        return Signal(self.data / self.window, 1)


class Told(Signal):
    """A signal known by what it has said so far: its mean, or what a receiver decodes, after each step.

    An affine operation of the signal is the same operation of what it has said, so nobody has to sum up
    again what a function sends. The values of single steps are computed where somebody asks.

    Attributes:
        said: [T * B, ...].
    """

    said: Tensor
    _values: Callable[[], Tensor]

    def __init__(self, said: Tensor, steps: int, values: Callable[[], Tensor]) -> None:
        for name, value in (("said", said), ("steps", steps), ("_values", values)):
            object.__setattr__(self, name, value)

    @property
    def data(self) -> Tensor:
        """Values of each step, [T * B, ...]."""
        if "data" not in self.__dict__:
            self.__dict__["data"] = self._values()
        found: Tensor = self.__dict__["data"]
        return found

    @property
    def shape(self) -> torch.Size:
        """Shape in one time step, [B, ...]."""
        return torch.Size((self.said.shape[0] // self.steps, *self.said.shape[1:]))


class Spikes(Signal):
    """A signal of spikes that all stand for the same value: small integers times this value.

    `data` gives the values themselves; operations that can work on the integers read `counts`.
    """

    counts: Tensor
    spike_value: Tensor
    signed: bool

    def __init__(self, counts: Tensor, steps: int, spike_value: Tensor, signed: bool) -> None:
        object.__setattr__(self, "signed", signed)  # some counts may be negative
        object.__setattr__(self, "counts", counts)  # int8, or uint8 of large ones, [T * B, C, ...]
        object.__setattr__(self, "spike_value", spike_value)  # [1, C, 1, ...] or [1, 1, ...]
        object.__setattr__(self, "steps", steps)

    @property
    def data(self) -> Tensor:
        """Transmitted values, float32."""
        spike_value = self.spike_value.flatten()[0] if self.spike_value.numel() == 1 else self.spike_value
        return self.counts.float() * spike_value

    @property
    def shape(self) -> torch.Size:
        """Shape in one time step, [B, ...]."""
        return torch.Size((self.counts.shape[0] // self.steps, *self.counts.shape[1:]))

    @property
    def carrier(self) -> Tensor:
        """What an operation that only moves spikes is run on, [N, C, ...]."""
        return self.counts

    def moved(self, carrier: Tensor, spike_value: Tensor) -> Spikes:
        """These spikes after such an operation."""
        return Spikes(carrier, self.steps, spike_value, self.signed)

    def travels_with(self, other: Spikes) -> bool:
        """True where carriers can be joined into one."""
        return type(self) is type(other) is Spikes and self.counts.dtype is other.counts.dtype


def fold(timed: Tensor) -> Signal:
    """Signal from [T, B, ...]."""
    return Signal(flat(timed), timed.shape[0])


def signals_in(values: Any) -> list[Signal]:
    """All signals in nested arguments."""
    if isinstance(values, Signal):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list | tuple):
        return [signal for value in values for signal in signals_in(value)]
    return []


def map_structure(function: Callable[[Any], Any], kind: type, values: Any) -> Any:
    """`values` with `function` applied to every leaf of type `kind`; structure is kept."""
    if isinstance(values, kind):
        return function(values)
    if isinstance(values, dict):
        return {key: map_structure(function, kind, value) for key, value in values.items()}
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(map_structure(function, kind, value) for value in values))
    if isinstance(values, list):  # plain, also where torch.fx holds an immutable list
        return [map_structure(function, kind, value) for value in values]
    if isinstance(values, tuple) and not isinstance(values, torch.Size):
        return tuple(map_structure(function, kind, value) for value in values)
    if isinstance(values, slice):
        return slice(*(map_structure(function, kind, v) for v in (values.start, values.stop, values.step)))
    return values


def zip_structure(function: Callable[[Tensor, Tensor], Any], one: Any, two: Any) -> Any:
    """What `function` makes of the tensors of two values of the same structure, pair by pair."""
    if isinstance(one, Tensor):
        return function(one, two)
    if isinstance(one, dict):
        return {key: zip_structure(function, value, two[key]) for key, value in one.items()}
    if isinstance(one, list | tuple):
        items = [zip_structure(function, a, b) for a, b in zip(one, two, strict=True)]
        return type(one)(*items) if hasattr(one, "_fields") else type(one)(items)
    return one


def over_time(results: Sequence[Any]) -> Any:
    """Signals from the results of each time step, which have one structure, tensor by tensor."""
    first = results[0]
    if isinstance(first, Tensor):
        return fold(torch.stack(list(results)))
    if isinstance(first, list | tuple):
        items = [over_time(column) for column in zip(*results, strict=True)]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    return first
