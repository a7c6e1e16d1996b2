"""What neurons do with a current in one step, for a block of them; `conversion.neurons` has the equations.

Every operation is one that PyTorch rounds in the same way, and in the same order, so that both fire the same
spikes from the same currents. Kernels are compiled without fused multiply-adds for this reason.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Kinds, as in `conversion.simulation.cuda.neurons`.
BINARY = tl.constexpr(1)
BURST = tl.constexpr(2)
SIGNED = tl.constexpr(3)
CALIBRATED = tl.constexpr(4)
LEAKY = tl.constexpr(5)
DIFFERENTIAL = tl.constexpr(6)
TRACKING = tl.constexpr(7)
LEVELS = tl.constexpr(8)
CODE = tl.constexpr(2)  # variants of CALIBRATED
CONS = tl.constexpr(1)
# How spikes are counted.
SIZES = tl.constexpr(0)
ONES = tl.constexpr(1)
BITS = tl.constexpr(2)


@triton.jit
def clamped(values: tl.tensor, least: tl.constexpr, most: tl.constexpr) -> tl.tensor:
    """Values within two numbers."""
    return tl.minimum(tl.maximum(values, least), most)


@triton.jit
def level_of(reached: tl.tensor, levels: tl.constexpr, below: tl.constexpr) -> tl.tensor:
    """The largest of the levels 1, 2, 4, ... that was reached, each less `below`; 0 if none was."""
    size = reached * 0.0
    for level in tl.static_range(levels):
        size = tl.where(reached >= 2**level - below, 1.0 * 2**level, size)
    return size


@triton.jit
def sign_of(values: tl.tensor) -> tl.tensor:
    """-1, 0 or 1."""
    return tl.where(values > 0.0, 1.0, 0.0) - tl.where(values < 0.0, 1.0, 0.0)


@triton.jit
def fire(
    current: tl.tensor,
    v: tl.tensor,
    one: tl.tensor,
    two: tl.tensor,
    three: tl.tensor,
    step: tl.tensor,
    most_sent: tl.tensor,
    KIND: tl.constexpr,
    MOST: tl.constexpr,
    BACK: tl.constexpr,
    BOUND: tl.constexpr,
    VARIANT: tl.constexpr,
    CAPPED: tl.constexpr,
) -> tl.tuple:
    """Spikes of one step, and the state after it.

    Args:
        current: in thresholds, float32 [N].
        v: membrane.
        one: second entry of the state, in the order of `cuda.neurons`; here and below unused where a kind
            has fewer.
        two: third entry.
        three: fourth entry.
        step: steps done before this one, float32 of one element.
        most_sent: upper bound of the output, for CAPPED.
        KIND: of neuron.
        MOST: most spikes in a step; for LEVELS and DIFFERENTIAL, the number of levels.
        BACK: most spikes taken back in a step.
        BOUND: a number that the kind needs.
        VARIANT: of a kind that has several.
        CAPPED: the output has an upper bound.
    """
    if KIND == DIFFERENTIAL:
        now = step + 1.0
        change = current - three
        v = v + change + one - two
        reached = tl.div_rn(tl.abs(v), v * 0.0 + BOUND)
        reached = tl.where(v < 0.0, tl.minimum(reached, now * two + 1e-4), reached)
        if CAPPED:
            reached = tl.where(v > 0.0, tl.minimum(reached, now * (most_sent - two) + 1e-4), reached)
        spikes = level_of(reached, MOST, 0.0) * sign_of(v)
        v = v - spikes
        every = v * 0.0 + now
        one = one + tl.div_rn(change, every)
        two = two + tl.div_rn(spikes, every)
    else:
        v = v + current
        if KIND == BINARY:
            spikes = tl.where(v >= 1.0, 1.0, 0.0)
            v = v - spikes
        elif KIND == BURST:
            spikes = clamped(tl.floor(v + BOUND), 0.0, MOST)
            v = v - spikes
        elif KIND == TRACKING:
            spikes = clamped(tl.floor(v), -MOST, MOST)
            v = v - spikes
        elif KIND == LEVELS:
            spikes = level_of(tl.abs(v), MOST, 0.5) * sign_of(v)
            v = v - spikes
        elif KIND == LEAKY:
            below = tl.where(v * BOUND <= -1.0, 1.0, 0.0)
            spikes = tl.where(v >= 1.0, 1.0, 0.0)
            v = v - spikes + tl.div_rn(below, v * 0.0 + BOUND)
            spikes = spikes - below
        elif KIND == SIGNED:
            owed = tl.ceil(-v) if BOUND == 0 else tl.floor(BOUND - v) + 1.0
            spikes = clamped(tl.floor(v), 0.0, MOST) - tl.minimum(clamped(owed, 0.0, BACK), one)
            v = v - spikes
            one = one + spikes
        else:  # CALIBRATED: the balance of what was sent, the step of the last firing, the number of firings
            spikes = clamped(tl.floor(v), 0.0, MOST)
            v = v - spikes
            fired = spikes > 0.0
            three = tl.where(fired, three + 1.0, three)
            two = tl.where(fired, step, two)
            late = (step - two - BOUND) * tl.maximum(three, 1.0) > two
            if VARIANT == CODE:
                spikes = spikes - tl.where(late, 1.0, 0.0)
                one = one + spikes
                spikes = tl.where(one <= -1.0, 0.0, spikes)
            else:
                back = tl.where(late & (one >= 1.0), 1.0, 0.0)
                spikes = spikes - back
                one = one + spikes
                if VARIANT == CONS:
                    v = v + back
    return spikes, v, one, two, three


@triton.jit
def events(spikes: tl.tensor, COUNTED: tl.constexpr) -> tl.tensor:
    """Spikes as energy counts them, int32: their sizes, one each, or the ones of their binary digits."""
    sizes = tl.abs(spikes).to(tl.int32)
    if COUNTED == ONES:
        return (sizes != 0).to(tl.int32)
    if COUNTED == BITS:  # sums of neighbouring digits, then of pairs, fours and eights; of 16 digits
        sizes = (sizes & 0x5555) + ((sizes >> 1) & 0x5555)
        sizes = (sizes & 0x3333) + ((sizes >> 2) & 0x3333)
        sizes = (sizes & 0x0F0F) + ((sizes >> 4) & 0x0F0F)
        sizes = (sizes & 0x00FF) + (sizes >> 8)
    return sizes
