"""Signals as the kernels have them: channels last, and what they are multiplied by left for later."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.signals.signals import Signal, Spikes


class Currents(Signal):
    """What a layer with weights in half precision gives: `raw` times a scale, plus a shift, both by channel.

    Kernels apply them in registers, in float32; `data` does it for everybody else.

    Attributes:
        raw: half precision [T * B, C, ...].
        scale: float32 [C].
        shift: float32 [C], the bias of the layer; None for none.
        axis: of channels, 1 or -1.
    """

    raw: Tensor
    scale: Tensor
    shift: Tensor | None
    axis: int

    def __init__(self, raw: Tensor, steps: int, scale: Tensor, shift: Tensor | None, axis: int) -> None:
        values = {"raw": raw, "steps": steps, "scale": scale, "shift": shift, "axis": axis}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def data(self) -> Tensor:
        """The currents, float32."""
        currents = self.raw.float() * along(self.scale, self.raw.ndim, self.axis)
        return currents if self.shift is None else currents + along(self.shift, self.raw.ndim, self.axis)

    @property
    def shape(self) -> torch.Size:
        """Shape in one time step, [B, ...]."""
        return torch.Size((self.raw.shape[0] // self.steps, *self.raw.shape[1:]))


@dataclass(frozen=True)
class Addend:
    """Something that flows into a layer of neurons, as the kernel reads it: values * scale + shift.

    Attributes:
        values: contiguous [T * B, ..., C], or [B, ..., C] where they do not change over time.
        varies: they do.
        scale: float32 [C]; None for 1.
        shift: float32 [C]; None for 0.
    """

    values: Tensor
    varies: bool
    scale: Tensor | None = None
    shift: Tensor | None = None

    @classmethod
    def of(cls, signal: Signal, steps: int, channels: int, axis: int) -> Addend:
        """A signal whose channels are along `axis`; one of a single step does not vary."""
        varies = signal.steps == steps
        if isinstance(signal, Spikes):
            scale = by_channel(signal.spike_value, channels)
            return cls(channels_last(signal.counts, axis), varies, scale)
        if isinstance(signal, Currents):
            return cls(channels_last(signal.raw, axis), varies, signal.scale, signal.shift)
        return cls(channels_last(signal.data, axis), varies)

    def divided_by(self, threshold: Tensor) -> Addend:
        """The same in units of a threshold float32 [C]."""
        scale = 1 / threshold if self.scale is None else self.scale / threshold
        return Addend(self.values, self.varies, scale, None if self.shift is None else self.shift / threshold)


def along(values: Tensor, ndim: int, axis: int) -> Tensor:
    """Values [C], broadcastable to a tensor of `ndim` axes with channels along one, 1 or -1."""
    return values if axis == -1 else values.view(-1, *[1] * (ndim - 2))


def by_channel(values: Tensor, channels: int) -> Tensor:
    """One number, or one a channel with axes of size 1, as contiguous float32 [C]."""
    return values.flatten().expand(channels).float().contiguous()


def is_by_channel(values: Tensor, channels: int, axis: int) -> bool:
    """True for one number, or one a channel along `axis` and the same everywhere."""
    if values.numel() == 1:
        return True
    return values.ndim > 1 and values.shape[axis] == values.numel() == channels


def channels_last(values: Tensor, axis: int = 1) -> Tensor:
    """[N, C, ...] as contiguous [N, ..., C]; no copy where memory is in that order already."""
    return (values.movedim(1, -1) if axis == 1 else values).contiguous()


def channels_first(values: Tensor, axis: int = 1) -> Tensor:
    """[N, ..., C] as [N, C, ...], a view."""
    return values.movedim(-1, 1) if axis == 1 else values
