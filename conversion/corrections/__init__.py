"""What is refitted after thresholds are set, layer by layer, with the layers before already spiking."""

from conversion.corrections.base import Correction, NoCorrection
from conversion.corrections.layerwise import Layerwise
from conversion.corrections.matching import RateMatching

__all__ = ["Correction", "Layerwise", "NoCorrection", "RateMatching"]
