"""The quantised ANN that carries as many bits per activation as a spiking network of t steps.

A binary neuron can send 0..t spikes in t steps: t + 1 values, log2(t + 1) bits. An ANN whose
activations are rounded to t levels says the same in a single pass. A spiking network that is less
accurate, or needs more energy, than this baseline is not worth its spikes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.parts import Part, check, register, searched


@register
@dataclass(frozen=True)
class Quantiser(Part):
    """Round an activation to `levels` steps of its threshold, in place of a spiking neuron.

    At time t the number of levels is min(t, max_levels): 255 levels are the 8 bits that integer
    hardware offers.
    """

    kind: ClassVar[str] = "neuron"
    name: ClassVar[str] = "quantiser"
    max_levels: int = searched(255, 1, 255)
    weight_bits: int = 8

    def __post_init__(self) -> None:
        check(1 <= self.max_levels <= 255, f"max_levels must be in [1, 255], got {self.max_levels}")
        check(2 <= self.weight_bits <= 8, f"weight_bits must be in [2, 8], got {self.weight_bits}")

    @property
    def floor(self) -> str:
        """The rounding itself."""
        return f"rounds activations to {self.max_levels} levels and weights to {self.weight_bits} bits"

    @property
    def alphabet(self) -> str:
        """It does not spike."""
        return "none"

    @property
    def max_per_step(self) -> int:
        """It does not spike."""
        return 0

    def levels(self, t: int) -> int:
        """Number of levels above zero that match t binary steps."""
        return min(t, self.max_levels)


def quantise_activation(z: Tensor, threshold: Tensor, levels: int, signed: bool = False) -> Tensor:
    """(threshold / levels) clip(floor(levels z / threshold + 1/2), 0, levels); from -levels if signed."""
    step = threshold / levels
    return (z / step + 0.5).floor_().clamp_(-levels if signed else 0, levels) * step


def quantise_weight(weight: Tensor, bits: int, channel_axis: int = 0) -> Tensor:
    """Symmetric integers of `bits` bits times one scale per output channel, as floats."""
    if not weight.numel():
        return weight
    top = 2 ** (bits - 1) - 1
    axes = [axis for axis in range(weight.ndim) if axis != channel_axis]
    scale = weight.abs().amax(axes, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny) / top
    rounded: Tensor = (weight / scale).round_().clamp_(-top, top) * scale
    return rounded
