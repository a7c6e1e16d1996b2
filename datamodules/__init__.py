"""Where images and labels come from: Lightning data modules, built by name in `registry`."""

from datamodules.base import ClassificationData, DataModule, LoaderConfig
from datamodules.errors import DataError

__all__ = ["ClassificationData", "DataError", "DataModule", "LoaderConfig"]
