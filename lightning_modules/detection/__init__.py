"""Training and testing of detectors."""

from lightning_modules.detection.metric import DetectionMetric
from lightning_modules.detection.module import DetectionModule, DetectionOptimiserConfig

__all__ = ["DetectionMetric", "DetectionModule", "DetectionOptimiserConfig"]
