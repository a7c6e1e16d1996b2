"""Images with a class for every pixel: Cityscapes, Pascal VOC, and composed scenes of digits."""

from datamodules.segmentation.base import SegmentationData

__all__ = ["SegmentationData"]
