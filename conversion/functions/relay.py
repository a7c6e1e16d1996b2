"""Where real numbers would meet weights, a relay turns them into spikes."""

from __future__ import annotations

from torch import Tensor


def relay(x: Tensor) -> Tensor:
    """The value itself; in a spiking network, neurons that send it as spikes."""
    return x
