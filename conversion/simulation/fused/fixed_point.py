"""Weights as fixed-point numbers, the same for every kernel that adds them up.

A weight is an integer times one scale per output channel. Integers are chosen so that no sum can
overflow, whichever spikes arrive; so every kernel gives the same sums, and results depend neither on
the kernel nor on the order of additions.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion.simulation.backend import Precision
from conversion.simulation.fused.firing import MOST_IN_BYTES

# Bytes of a weight, each a digit to base 256. Three are as fine as float32.
WEIGHT_BYTES = {"float32": 3, "int16": 2, "int8": 1}
# Inputs are taken in groups of this size; those of the table kernel divide it where its sums have 16 bits.
GROUP = 6
# Groups of a block: 16 bits hold their sums, and the nearest cache holds their tables and indices.
BLOCK_GROUPS = 36


def is_wide(precision: Precision) -> bool:
    """True where sums of a block of weights need 32 bits, False where 16 hold them."""
    return precision == "float32"


@dataclass(frozen=True)
class FixedPoint:
    """Weights of a Conv2d or Linear layer, w * spike_value / threshold = integer * scale."""

    weights: Tensor  # int32 [C', C, kernel_h, kernel_w]
    scale: Tensor  # float32 [C']
    bias: Tensor  # float32 [C'], in thresholds
    precision: Precision
    in_floats: bool = False  # sums of each digit fit 32 bits, but not the whole sum


def fixed_point(
    module: nn.Module,
    spike_value: Tensor,
    threshold: Tensor,
    precision: Precision,
    most: int = 1,
    least: int = 0,
) -> FixedPoint:
    """Fixed-point weights of a Conv2d or Linear layer.

    A weight is off by at most half of `scale`. For int8, scale is the largest weight of its output
    channel over 127. For int16 it is as fine as sums over a block of inputs (see `blocks`) allow. For
    float32 it is a power of two, which keeps short binary fractions exact, and as fine as three bytes
    and 32-bit sums allow: the largest weight is at least 2^22 of it in all but very wide layers. Where
    spikes are larger than a signed byte, sums of each digit alone have to fit; they are joined in floats.

    Args:
        module: the layer.
        spike_value: value of one incoming spike, [1, C, ...] or [1, 1, ...].
        threshold: of the neurons it drives, [1, C', ...] or [1, 1, ...]; 1 for plain currents.
        precision: how fine.
        most: most spikes of one neuron in one step.
        least: fewest; negative where spikes are taken back.
    """
    layer: Any = module
    weight = layer.weight.detach().double()
    weight = weight.view(*weight.shape, *[1] * (4 - weight.ndim))
    outputs, inputs = weight.shape[:2]
    in_thresholds = 1.0 / threshold.double().flatten().expand(outputs)
    groups = getattr(layer, "groups", 1)
    arriving = spike_value.double().flatten().expand(groups * inputs).view(groups, inputs)
    weight = weight * arriving.repeat_interleave(outputs // groups, 0)[:, :, None, None]
    weight = weight * in_thresholds[:, None, None, None]
    bias = torch.zeros(outputs) if layer.bias is None else layer.bias.detach() * in_thresholds
    in_floats = most > MOST_IN_BYTES and inputs > 1  # a layer with one filter a channel has no digits
    scale = _scale(weight, precision, 1 if in_floats else most, least)
    fixed = (weight / scale[:, None, None, None]).round().int()
    return FixedPoint(fixed, scale.float(), bias.float().contiguous(), precision, in_floats)


def _scale(weight: Tensor, precision: Precision, most: int, least: int) -> Tensor:
    """One unit of the fixed-point weights of each output channel, float64 [C']."""
    digits = WEIGHT_BYTES[precision]
    top = 127 * sum(256**digit for digit in range(digits))  # largest number of balanced digits
    scale = weight.abs().amax((1, 2, 3)).clamp(min=1e-30) / top
    if precision == "int16":
        groups = grouped(weight, GROUP)
        sums = [_largest_sum(groups[:, a:b, c:d]) for a, b, c, d in blocks(*groups.shape[1:3])]
        rounding = BLOCK_GROUPS * GROUP / 2  # rounded weights add up to this much more
        scale = torch.maximum(scale, torch.stack(sums).amax(0) / (2**15 - 1 - rounding))
    if precision == "float32":
        rounding = weight[0].numel() / 2 * max(most, -least)
        scale = torch.maximum(scale, _largest_sum(weight, most, least) / (2**31 - 1 - rounding))
        scale = torch.exp2(scale.log2().ceil())
    result: Tensor = scale
    return result


def _largest_sum(weight: Tensor, most: int = 1, least: int = 0) -> Tensor:
    """Largest magnitude of a sum of weights [C', ...], each `least` to `most` times."""
    flat = weight.flatten(1)
    up, down = flat.clamp(min=0).sum(1), -flat.clamp(max=0).sum(1)
    return torch.maximum(up * most - down * least, down * most - up * least)


def grouped(weight: Tensor, group: int) -> Tensor:
    """Weights [C', C, kernel_h, kernel_w] as [C', taps, groups, group], zeros where no channel is left."""
    by_tap = weight.flatten(2).transpose(1, 2)
    by_tap = F.pad(by_tap, (0, -by_tap.shape[2] % group))
    groups: Tensor = by_tap.unflatten(2, (-1, group))
    return groups


def blocks(taps: int, groups: int) -> list[tuple[int, int, int, int]]:
    """Blocks of at most BLOCK_GROUPS groups that cover all taps: (tap from, to, group from, to)."""
    if groups <= BLOCK_GROUPS:
        count = -(-taps // (BLOCK_GROUPS // groups))
        edges = [taps * i // count for i in range(count + 1)]
        return [(a, b, 0, groups) for a, b in itertools.pairwise(edges)]
    count = -(-groups // BLOCK_GROUPS)
    edges = [groups * i // count for i in range(count + 1)]
    pairs = list(itertools.pairwise(edges))
    return [(tap, tap + 1, a, b) for tap in range(taps) for a, b in pairs]
