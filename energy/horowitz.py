"""What one operation and one memory access cost in 45 nm CMOS at 0.9 V, in picojoules.

Source of the operations: Horowitz 2014 (ISSCC), "Computing's energy problem (and what we can do about
it)", doi:10.1109/ISSCC.2014.6757323.

Source of the accesses: the same table has 10, 20 and 100 pJ for a cache of 8 kB, 32 kB and 1 MB. Later
papers cite them as accesses to 64 bits: Han et al. 2016 (EIE, arXiv 1602.01528, table I), who take
the same table, have 5 pJ for 32 bits in 32 kB. Lemaire et al. 2022 (arXiv 2210.13107) and SpikingJelly's
counter after them charge 10, 20 and 100 pJ for 32 bits. So the width of an access is an assumption of
each model that charges memory: `access_bits`, 32 as in Lemaire et al. unless it says otherwise. With 64
every access costs half, operations stay.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

ADD_FP32_PJ = 0.9
MULTIPLY_FP32_PJ = 3.7
MAC_FP32_PJ = 4.6  # 3.7 + 0.9
ADD_INT32_PJ = 0.1
MULTIPLY_INT32_PJ = 3.1
ADD_INT8_PJ = 0.03
MULTIPLY_INT8_PJ = 0.2

# Memory size in bytes -> picojoules an access. Lemaire et al. draw straight lines between the three, through
# the origin below, and stay at 1 MB above.
ACCESS_PJ = ((0, 0.0), (8 * 1024, 10.0), (32 * 1024, 20.0), (1024 * 1024, 100.0))


@lru_cache(maxsize=4096)  # the layers of a network are asked for again and again
def access_pj(size: float) -> float:
    """Energy of one access of full width to a memory of `size` bytes."""
    for (low, energy_low), (high, energy_high) in pairwise(ACCESS_PJ):
        if size <= high:
            return energy_low + (energy_high - energy_low) * (size - low) / (high - low)
    return ACCESS_PJ[-1][1]


def multiply_by_8_pj(bits: int) -> float:
    """An 8-bit weight times an activation of `bits`, at most 8.

    The table has 8 times 8 bits. A multiplier adds one row a bit, so fewer bits cost in proportion: this
    line through the origin is ours.
    """
    return MULTIPLY_INT8_PJ * bits / 8
