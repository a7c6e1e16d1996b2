"""Detectors: networks from images to raw maps, and the decoding of raw maps to boxes."""

from lightning_modules.networks.detection.base import Detector

__all__ = ["Detector"]
