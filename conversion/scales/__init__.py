"""The threshold of each layer or channel: which activation one spike per step stands for."""

from conversion.scales.balance import Balance
from conversion.scales.base import FullRange, Maximum, Percentile, Scale
from conversion.scales.headroom import Headroom
from conversion.scales.iteration import ThresholdIteration
from conversion.scales.learned import Learned
from conversion.scales.least_squares import LeastSquares, least_squares_thresholds
from conversion.scales.local import ClipClimb
from conversion.scales.nearest_levels import NearestLevels

__all__ = [
    "Balance",
    "ClipClimb",
    "FullRange",
    "Headroom",
    "Learned",
    "LeastSquares",
    "Maximum",
    "NearestLevels",
    "Percentile",
    "Scale",
    "ThresholdIteration",
    "least_squares_thresholds",
]
