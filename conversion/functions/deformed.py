"""Deformable convolution as what it is made of: samples of a map, a mask, and a layer with weights."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.functions.whole import whole


@whole
def sampled_at(
    x: Tensor,
    offset: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Tensor:
    """Values between pixels, where the taps of a kernel come to stand once they are moved; 0 outside the map.

    Args:
        x: [B, C, H, W].
        offset: by how many pixels each tap moves down and to the right, [B, groups * taps * 2, H', W'].
        kernel: its size.
        stride: of the taps, before they move.
        padding: pixels by which the first tap stands outside.
        dilation: pixels from tap to tap.
        groups: of channels that move together.

    Returns:
        [B, C * taps, H', W'].
    """
    b, _, *size = x.shape
    moved = offset.unflatten(1, (groups, kernel[0] * kernel[1], 2))
    places = []
    for axis in (0, 1):
        taps = torch.arange(kernel[axis], device=x.device) * dilation[axis] - padding[axis]
        taps = taps.repeat_interleave(kernel[1]) if axis == 0 else taps.repeat(kernel[0])
        start = torch.arange(moved.shape[4 + axis], device=x.device) * stride[axis]
        start = start[:, None] if axis == 0 else start
        place = moved[:, :, :, axis] + (taps[:, None, None] + start).to(x.dtype)
        places.append(
            (2 * place + 1) / size[axis] - 1
        )  # as grid_sample counts, borders of pixels at -1 and 1
    grid = torch.stack(places[::-1], -1).flatten(0, 1)  # [B * groups, taps, H', W', 2]
    rows, columns = grid.shape[2:4]
    each = x.reshape(b * groups, -1, *size)
    found = F.grid_sample(each, grid.flatten(1, 2), align_corners=False)
    return found.reshape(b, -1, rows, columns)


def deformed(
    input: Any,
    weight: Any,
    offset: Any,
    mask: Any,
    bias: Any,
    *settings: Any,
    kernel: tuple[int, ...],
) -> Any:
    """What `torch.ops.torchvision.deform_conv2d` computes, from its arguments and the size of its kernel."""
    pairs, (groups, moving, has_mask) = settings[:6], settings[6:]
    taps = kernel[0] * kernel[1]
    columns = sampled_at(input, offset, kernel, pairs[:2], pairs[2:4], pairs[4:], moving)
    if has_mask:
        parts = columns.unflatten(1, (moving, -1, taps))
        columns = (parts * mask.unflatten(1, (moving, 1, taps))).flatten(1, 3)
    return F.conv2d(columns, weight.flatten(1)[:, :, None, None], bias, groups=groups)
