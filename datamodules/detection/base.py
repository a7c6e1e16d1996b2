"""What every detection data set offers: batches of images [B, C, H, W] with one target per image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from datamodules.base import DataModule, LoaderConfig, Split
from datamodules.detection.annotations import AnnotatedImage
from datamodules.detection.samples import DetectionSamples
from datamodules.detection.transforms import DetectionTransform
from datamodules.errors import DataError
from datamodules.imagenet import MEAN, STD
from datamodules.options import check_augmentation, check_channels, check_flag

SIZE_STEP = 32  # pixels: the stride of the coarsest map of common detectors


@dataclass(frozen=True)
class DetectionOptions:
    """Options of every detection data set."""

    image_size: tuple[int, int] = (320, 320)  # height and width of the input; multiples of 32
    mean: tuple[float, ...] = MEAN  # per channel, pixels in [0, 1]
    std: tuple[float, ...] = STD
    scales: tuple[float, float] = (0.6, 1.4)  # scale jitter in training; 1 fits the image into the input
    horizontal_flip: bool = True
    vertical_flip: bool = False  # for images without an upside
    photometric: float = 1.0  # strength of colour jitter; 0: none

    def __post_init__(self) -> None:
        size = self.image_size
        whole = isinstance(size, tuple) and len(size) == 2 and all(type(side) is int for side in size)
        if not whole or any(side < SIZE_STEP or side % SIZE_STEP for side in size):
            raise DataError(f"image_size must be (height, width), multiples of {SIZE_STEP}, got {size!r}")
        check_channels(self.mean, self.std)
        for name in ("horizontal_flip", "vertical_flip"):
            check_flag(name, getattr(self, name))
        check_augmentation(self.scales, self.photometric)


class DetectionData(DataModule):
    """A data set of images with boxes; see `DetectionTarget` for the targets.

    Attributes:
        scoring: whose rules the data set is scored by, "coco" or "voc".
    """

    task: ClassVar[str] = "detection"
    scoring: ClassVar[str] = "coco"
    options: DetectionOptions

    def __init__(self, options: DetectionOptions, loader: LoaderConfig) -> None:
        super().__init__(loader)
        self.options = options
        self.image_shape = (len(options.mean), *options.image_size)

    @abstractmethod
    def _annotated(self, split: Split) -> tuple[Sequence[AnnotatedImage], Callable[[int], Tensor]]:
        """Return the images of one split, and what reads them: position -> uint8 [C, H, W]."""

    def _identity_folder(self) -> Path | None:
        """Folder that fingerprints are relative to; None for images in memory."""
        return self.root

    def _samples(self, split: Split, *, training: bool) -> DetectionSamples:
        images, read = self._annotated(split)
        chosen = self.options
        transform = DetectionTransform(
            chosen.image_size,
            chosen.scales,
            chosen.horizontal_flip,
            chosen.vertical_flip,
            chosen.photometric if self.image_shape[0] == 3 else 0.0,
        )
        return DetectionSamples(
            images,
            read,
            chosen.image_size,
            chosen.mean,
            chosen.std,
            transform=transform if training else None,
            train_difficult=getattr(chosen, "train_difficult", False),
            folder=self._identity_folder(),
        )
