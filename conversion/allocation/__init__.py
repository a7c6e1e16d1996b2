"""Which layers get more spikes a step, or a larger threshold, within one budget for all of them."""

from conversion.allocation.adaptive_fire import AdaptiveFire
from conversion.allocation.base import Allocation, Uniform
from conversion.allocation.compression import SpikeCompression
from conversion.allocation.few_spikes import FittedSpikes

__all__ = ["AdaptiveFire", "Allocation", "FittedSpikes", "SpikeCompression", "Uniform"]
