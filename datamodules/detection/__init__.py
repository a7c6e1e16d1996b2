"""Images with boxes: Pascal VOC, COCO, and composed scenes of digits."""

from datamodules.detection.base import DetectionData

__all__ = ["DetectionData"]
