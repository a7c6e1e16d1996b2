"""Training and testing of segmentation networks."""

from lightning_modules.segmentation.metric import SegmentationMetric
from lightning_modules.segmentation.module import SegmentationModule, SegmentationOptimiserConfig

__all__ = ["SegmentationMetric", "SegmentationModule", "SegmentationOptimiserConfig"]
