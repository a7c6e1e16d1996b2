"""Max pooling of a chunk of time: lossless, the gate of the leading input, or the maximum of each step."""

from __future__ import annotations

import triton
import triton.language as tl

# Rules, as in `conversion.simulation.cuda.pooling`.
INHIBITION = tl.constexpr(0)
GATE = tl.constexpr(1)
PER_STEP = tl.constexpr(2)
# How what is sent is counted.
NONZERO = tl.constexpr(0)
UNITS = tl.constexpr(1)


@triton.jit
def highest(values: tl.tensor) -> tl.tensor:
    """The maximum of each window [BLOCK, TAPS]."""
    return tl.max(values, axis=1)


@triton.jit
def pool(
    values: tl.tensor,
    totals: tl.tensor,
    unit_value: tl.tensor,
    sent: tl.tensor,
    counts: tl.tensor,
    steps: tl.tensor,
    images: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    channels: tl.tensor,
    out_height: tl.tensor,
    out_width: tl.tensor,
    KERNEL_H: tl.constexpr,
    KERNEL_W: tl.constexpr,
    STRIDE_H: tl.constexpr,
    STRIDE_W: tl.constexpr,
    PAD_H: tl.constexpr,
    PAD_W: tl.constexpr,
    DILATION_H: tl.constexpr,
    DILATION_W: tl.constexpr,
    TAPS: tl.constexpr,
    RULE: tl.constexpr,
    COUNTED: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Pool a chunk; a program holds the running sums of the windows of some outputs of one image.

    Each output keeps the sums of its own window, also where windows overlap: then no program waits for
    another, and sums are updated where they are.

    Args:
        values: what arrives, [T, images, height, width, channels] of any precision.
        totals: sums of what arrived, one for each input of a window, float32 [KERNEL_H * KERNEL_W, images,
            outputs]; in and out; unused by PER_STEP.
        unit_value: value of one spike, float32 [channels]; for UNITS.
        sent: output [T, images, out_height, out_width, channels].
        counts: int32 [out_height, out_width, channels], events are added to it.
        steps: T.
        images: images.
        height: of what arrives.
        width: of what arrives.
        channels: channels.
        out_height: of what is sent.
        out_width: of what is sent.
        KERNEL_H: window.
        KERNEL_W: window.
        STRIDE_H: from window to window.
        STRIDE_W: from window to window.
        PAD_H: rows above the first.
        PAD_W: columns left of the first.
        DILATION_H: from input to input of a window.
        DILATION_W: from input to input of a window.
        TAPS: inputs of a window, rounded up to a power of two.
        RULE: what is sent.
        COUNTED: NONZERO counts everything that is not 0 as one, UNITS counts values of one spike.
        BLOCK: outputs of a program.
    """
    unit = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    outputs = out_height * out_width * channels
    inside = unit < outputs
    channel = unit % channels
    row = (unit // channels) // out_width
    column = (unit // channels) % out_width
    tap = tl.arange(0, TAPS)
    y = row[:, None] * STRIDE_H - PAD_H + (tap // KERNEL_W)[None, :] * DILATION_H
    x = column[:, None] * STRIDE_W - PAD_W + (tap % KERNEL_W)[None, :] * DILATION_W
    known = inside[:, None] & (tap < KERNEL_H * KERNEL_W)[None, :]
    known = known & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    place = (y * width + x) * channels + channel[:, None]
    image = tl.program_id(1)
    kept = tl.cast(tap[None, :] * images + image, tl.int64) * outputs + unit[:, None]
    # What is no input never leads; outputs that are none have nothing but zeros, which may be subtracted.
    nothing = tl.where(inside, float("-inf"), 0.0)[:, None]
    total = tl.where(known, 0.0, nothing)
    if RULE != PER_STEP:
        total = tl.where(known, tl.load(totals + kept, mask=known, other=0.0), nothing)
    one = tl.load(unit_value + channel, mask=inside & (COUNTED == UNITS), other=1.0)
    before = highest(total)
    count = tl.zeros([BLOCK], tl.int32)
    for t in range(steps):
        at = tl.cast(t * images + image, tl.int64) * (height * width * channels) + place
        arriving = tl.load(values + at, mask=known, other=0.0).to(tl.float32)
        if RULE == PER_STEP:
            pooled = highest(tl.where(known, arriving, nothing))
        else:
            total = total + arriving
            if RULE == GATE:
                leader = tl.argmax(total, axis=1)
                pooled = tl.sum(tl.where(tap[None, :] == leader[:, None], arriving, 0.0), axis=1)
            else:
                now = highest(total)
                pooled = now - before
                before = now
        if COUNTED == UNITS:
            count += tl.floor(tl.div_rn(tl.abs(pooled), one) + 0.5).to(tl.int32)
        else:
            count += (pooled != 0.0).to(tl.int32)
        to = tl.cast(t * images + image, tl.int64) * outputs + unit
        tl.store(sent + to, pooled.to(sent.dtype.element_ty), mask=inside)
    if RULE != PER_STEP:
        tl.store(totals + kept, total, mask=known)
    tl.atomic_add(counts + unit, count, mask=inside)
