"""Operations that move packed spikes without unpacking their blocks of channels.

Each function gives None for arguments that it does not cover; operations on the spikes' carrier then do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.signals.signals import signals_in
from conversion.simulation.compiled.lanes import CHANNELS, PackedSpikes

EVERYTHING = slice(None)


def move(name: str, args: Sequence[Any], kwargs: dict[str, Any], spike_value: Tensor) -> PackedSpikes | None:
    """Result of the operation `name` on packed spikes; `spike_value` is the value of one spike after it."""
    found = _MOVES.get(name)
    bits = found(*args, **kwargs) if found is not None else None
    if bits is None:
        return None
    like = signals_in([args, kwargs])[0]
    assert isinstance(like, PackedSpikes)
    return like.with_bits(bits, spike_value, like.ndim)


def _slice(spikes: Any, where: Any) -> Tensor | None:
    """x[:, :, a:b:c, d:e:f]."""
    if not isinstance(where, tuple) or spikes.ndim != 4 or len(where) != 4:
        return None
    if where[:2] != (EVERYTHING, EVERYTHING) or not all(isinstance(part, slice) for part in where):
        return None
    bits: Tensor = spikes.bits[:, where[2], where[3]]
    return bits.contiguous()


def _pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor | None:
    """Zeros around pixels, and whole blocks of silent channels."""
    sides = [*pad, *[0] * (6 - len(pad))]
    if mode != "constant" or value or input.ndim != 4 or len(sides) != 6:
        return None
    if any(channels % CHANNELS for channels in sides[4:]):
        return None
    return F.pad(input.bits, (0, 0, 0, 0, *sides[:4], *(channels // CHANNELS for channels in sides[4:])))


def _cat(tensors: Any, dim: int = 0) -> Tensor | None:
    """Channels after channels."""
    first = tensors[0]
    if dim != 1 or not all(part.travels_with(first) and part.ndim == first.ndim for part in tensors):
        return None
    return torch.cat([part.bits for part in tensors])


def _same(input: Any) -> Tensor | None:
    bits: Tensor = input.bits
    return bits


_MOVES: dict[str, Callable[..., Tensor | None]] = {
    "getitem": _slice,
    "pad": _pad,
    "cat": _cat,
    "concat": _cat,
    "Identity": _same,
    "Dropout": _same,
    "Dropout2d": _same,
}
