"""One layer of neurons over a chunk of time: adds up what flows in, fires, counts spikes."""

from __future__ import annotations

import triton
import triton.language as tl

from conversion.simulation.cuda.kernels.firing import events, fire

# What is written of the spikes of a chunk.
COUNTS = tl.constexpr(0)
VALUES = tl.constexpr(1)
MEAN = tl.constexpr(2)


@triton.jit
def added(
    total: tl.tensor,
    values: tl.tensor,
    row: tl.tensor,
    inside: tl.tensor,
    scale: tl.tensor,
    shift: tl.tensor,
    FIRST: tl.constexpr,
    SCALED: tl.constexpr,
    SHIFTED: tl.constexpr,
) -> tl.tensor:
    """The sum so far with one more addend, read at the places `row` of its values."""
    value = tl.load(values + row, mask=inside, other=0.0).to(tl.float32)
    if SCALED:
        value = value * scale
    if SHIFTED:
        value = value + shift
    if FIRST:
        return value
    return total + value


@triton.jit
def current_at(
    t: tl.tensor,
    b: tl.tensor,
    images: tl.tensor,
    neurons: tl.tensor,
    unit: tl.tensor,
    inside: tl.tensor,
    a: tl.tensor,
    a_varies: tl.tensor,
    a_scale: tl.tensor,
    a_shift: tl.tensor,
    b_values: tl.tensor,
    b_varies: tl.tensor,
    b_scale: tl.tensor,
    b_shift: tl.tensor,
    c: tl.tensor,
    c_varies: tl.tensor,
    c_scale: tl.tensor,
    c_shift: tl.tensor,
    offset: tl.tensor,
    threshold: tl.tensor,
    ADDENDS: tl.constexpr,
    SCALED: tl.constexpr,
    SHIFTED: tl.constexpr,
    OFFSET: tl.constexpr,
    DIVIDED: tl.constexpr,
) -> tl.tensor:
    """Current of step `t` and image `b`, in thresholds; addends that do not vary have one step only."""
    row = tl.cast(t * a_varies * images + b, tl.int64) * neurons + unit
    total = added(unit * 0.0, a, row, inside, a_scale, a_shift, True, SCALED & 1 != 0, SHIFTED & 1 != 0)
    if ADDENDS > 1:
        row = tl.cast(t * b_varies * images + b, tl.int64) * neurons + unit
        total = added(
            total, b_values, row, inside, b_scale, b_shift, False, SCALED & 2 != 0, SHIFTED & 2 != 0
        )
    if ADDENDS > 2:
        row = tl.cast(t * c_varies * images + b, tl.int64) * neurons + unit
        total = added(total, c, row, inside, c_scale, c_shift, False, SCALED & 4 != 0, SHIFTED & 4 != 0)
    if OFFSET:
        total = total + offset
    if DIVIDED:
        total = tl.div_rn(total, threshold)
    return total


@triton.jit
def scan(
    a: tl.tensor,
    a_varies: tl.tensor,
    a_scale: tl.tensor,
    a_shift: tl.tensor,
    b: tl.tensor,
    b_varies: tl.tensor,
    b_scale: tl.tensor,
    b_shift: tl.tensor,
    c: tl.tensor,
    c_varies: tl.tensor,
    c_scale: tl.tensor,
    c_shift: tl.tensor,
    offset: tl.tensor,
    threshold: tl.tensor,
    membrane: tl.tensor,
    one: tl.tensor,
    two: tl.tensor,
    three: tl.tensor,
    done: tl.tensor,
    most_sent: tl.tensor,
    factor: tl.tensor,
    sent: tl.tensor,
    counts: tl.tensor,
    steps: tl.tensor,
    images: tl.tensor,
    neurons: tl.tensor,
    channels: tl.tensor,
    ADDENDS: tl.constexpr,
    SCALED: tl.constexpr,
    SHIFTED: tl.constexpr,
    OFFSET: tl.constexpr,
    DIVIDED: tl.constexpr,
    KIND: tl.constexpr,
    STATES: tl.constexpr,
    MOST: tl.constexpr,
    BACK: tl.constexpr,
    BOUND: tl.constexpr,
    VARIANT: tl.constexpr,
    CAPPED: tl.constexpr,
    FACTOR: tl.constexpr,
    COUNTED: tl.constexpr,
    WRITTEN: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Run one layer for a chunk.

    Axis 0 of the grid goes over blocks of the neurons of one image, axis 1 over images: the programs of a
    block share them, and each keeps its counts in registers until it is done. Tensors are channels last.

    Args:
        a: first addend [T or 1, images, neurons], of any precision.
        a_varies: 1 where it has T steps, 0 where it has one.
        a_scale: float32 [channels], by which it is multiplied where bit 0 of SCALED is set.
        a_shift: float32 [channels], added to it where bit 0 of SHIFTED is set.
        b: second addend, like the first; bit 1.
        b_varies: see `a_varies`.
        b_scale: see `a_scale`.
        b_shift: see `a_shift`.
        c: third addend; bit 2.
        c_varies: see `a_varies`.
        c_scale: see `a_scale`.
        c_shift: see `a_shift`.
        offset: float32 [channels], added to the sum, for OFFSET.
        threshold: float32 [channels].
        membrane: float32 [images, neurons], in and out, like all of the state.
        one: second entry of the state; any tensor where a kind has fewer.
        two: third entry.
        three: fourth entry.
        done: steps before the chunk, one float32.
        most_sent: upper bound of the output [images, neurons], for CAPPED.
        factor: of everything that is sent [images, neurons], for FACTOR.
        sent: output; [T, images, neurons], for MEAN float32 [images, neurons].
        counts: int32 [neurons], events are added to it.
        steps: T.
        images: images.
        neurons: of one image.
        channels: channels, the fastest axis.
        ADDENDS: how many there are, 1 to 3.
        SCALED: bits of the addends with a scale.
        SHIFTED: bits of the addends with a shift.
        OFFSET: something is added to the sum.
        DIVIDED: the sum is divided by the threshold; else it is in thresholds.
        KIND: this and the next are as for `fire`.
        STATES: entries of the state.
        MOST: see `fire`.
        BACK: see `fire`.
        BOUND: see `fire`.
        VARIANT: see `fire`.
        CAPPED: see `fire`.
        FACTOR: what is sent is multiplied by a factor.
        COUNTED: how spikes are counted, see `events`.
        WRITTEN: COUNTS writes spikes, VALUES spikes times the threshold, MEAN the mean value over the chunk.
        BLOCK: neurons of a program.
    """
    unit = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = unit < neurons
    channel = unit % channels
    theta = tl.load(threshold + channel, mask=inside, other=1.0)
    constant = tl.load(offset + channel, mask=inside & OFFSET, other=0.0)
    a_by = tl.load(a_scale + channel, mask=inside & (SCALED & 1 != 0), other=1.0)
    b_by = tl.load(b_scale + channel, mask=inside & (SCALED & 2 != 0), other=1.0)
    c_by = tl.load(c_scale + channel, mask=inside & (SCALED & 4 != 0), other=1.0)
    a_more = tl.load(a_shift + channel, mask=inside & (SHIFTED & 1 != 0), other=0.0)
    b_more = tl.load(b_shift + channel, mask=inside & (SHIFTED & 2 != 0), other=0.0)
    c_more = tl.load(c_shift + channel, mask=inside & (SHIFTED & 4 != 0), other=0.0)
    before = tl.load(done)
    count = tl.zeros([BLOCK], tl.int32)
    for image in range(tl.program_id(1), images, tl.num_programs(1)):
        place = tl.cast(image, tl.int64) * neurons + unit
        v = tl.load(membrane + place, mask=inside, other=0.0)
        s1 = v * 0.0
        s2 = v * 0.0
        s3 = v * 0.0
        bound = v * 0.0
        times = v * 0.0
        if STATES > 1:
            s1 = tl.load(one + place, mask=inside, other=0.0)
        if STATES > 2:
            s2 = tl.load(two + place, mask=inside, other=0.0)
        if STATES > 3:
            s3 = tl.load(three + place, mask=inside, other=0.0)
        if CAPPED:
            bound = tl.load(most_sent + place, mask=inside, other=0.0)
        if FACTOR:
            times = tl.load(factor + place, mask=inside, other=0.0)
        total = tl.zeros([BLOCK], tl.float32)
        # fmt: off
        following = current_at(
            0, image, images, neurons, unit, inside, a, a_varies, a_by, a_more, b, b_varies, b_by, b_more,
            c, c_varies, c_by, c_more, constant, theta, ADDENDS, SCALED, SHIFTED, OFFSET, DIVIDED,
        )
        for t in range(steps):
            current = following  # that of the next step is on its way while these neurons fire
            following = current_at(
                t + 1, image, images, neurons, unit, inside & (t + 1 < steps), a, a_varies, a_by, a_more,
                b, b_varies, b_by, b_more, c, c_varies, c_by, c_more, constant, theta,
                ADDENDS, SCALED, SHIFTED, OFFSET, DIVIDED,
            )
            spikes, v, s1, s2, s3 = fire(
                current, v, s1, s2, s3, before + t, bound, KIND, MOST, BACK, BOUND, VARIANT, CAPPED
            )
            # fmt: on
            if FACTOR:
                spikes = spikes * times
            count += events(spikes, COUNTED)
            if WRITTEN == MEAN:
                total += spikes
            else:
                if WRITTEN == VALUES:
                    spikes = spikes * theta
                at = tl.cast(t * images + image, tl.int64) * neurons + unit
                tl.store(sent + at, spikes.to(sent.dtype.element_ty), mask=inside)
        if WRITTEN == MEAN:
            mean = tl.div_rn(total, total * 0.0 + steps) * theta
            tl.store(sent + place, mean, mask=inside)
        tl.store(membrane + place, v, mask=inside)
        if STATES > 1:
            tl.store(one + place, s1, mask=inside)
        if STATES > 2:
            tl.store(two + place, s2, mask=inside)
        if STATES > 3:
            tl.store(three + place, s3, mask=inside)
    tl.atomic_add(counts + unit, count, mask=inside)
