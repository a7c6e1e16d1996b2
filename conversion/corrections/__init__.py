"""What is refitted after thresholds are set, layer by layer, with the layers before already spiking."""

from conversion.corrections.base import Correction, NoCorrection
from conversion.corrections.calibration import ChannelCalibration
from conversion.corrections.layerwise import Layerwise
from conversion.corrections.matching import RateMatching
from conversion.corrections.step_weights import StepWeights
from conversion.corrections.temporal import TemporalBias
from conversion.corrections.timed_matching import TimedMatching

__all__ = [
    "ChannelCalibration",
    "Correction",
    "Layerwise",
    "NoCorrection",
    "RateMatching",
    "StepWeights",
    "TemporalBias",
    "TimedMatching",
]
