"""What every segmentation data set offers: batches of images [B, C, H, W] with one target per image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import DataModule, LoaderConfig, Split
from datamodules.errors import DataError
from datamodules.imagenet import MEAN, STD
from datamodules.options import check_augmentation, check_channels, check_flag
from datamodules.segmentation.labels import IGNORE, LabelledImage
from datamodules.segmentation.samples import Read, SegmentationSamples
from datamodules.segmentation.transforms import SegmentationTransform

Colour = tuple[int, int, int]
SMALLEST_SIDE = 16  # pixels of an input


@dataclass(frozen=True)
class SegmentationOptions:
    """Options of every segmentation data set."""

    image_size: tuple[int, int] = (512, 512)  # height and width of training crops
    test_size: tuple[int, int] | None = None  # of the input in testing; None: that of training
    mean: tuple[float, ...] = MEAN  # per channel, pixels in [0, 1]
    std: tuple[float, ...] = STD
    scales: tuple[float, float] = (0.5, 2.0)  # scale jitter in training; 1 fits the image into the crop
    horizontal_flip: bool = True
    photometric: float = 1.0  # strength of colour jitter; 0: none
    in_memory: bool = False  # decode each file once; takes four bytes a pixel of memory

    def __post_init__(self) -> None:
        for name in ("image_size", "test_size"):
            size = getattr(self, name)
            whole = isinstance(size, tuple) and len(size) == 2 and all(type(side) is int for side in size)
            if (size is not None or name == "image_size") and (not whole or min(size) < SMALLEST_SIDE):
                raise DataError(f"{name} must be (height, width) of at least {SMALLEST_SIDE}, got {size!r}")
        check_channels(self.mean, self.std)
        check_flag("horizontal_flip", self.horizontal_flip)
        check_flag("in_memory", self.in_memory)
        check_augmentation(self.scales, self.photometric)


class SegmentationData(DataModule):
    """A data set of images with label maps; see `SegmentationTarget` for the targets.

    Attributes:
        colours: (red, green, blue) of each class, as the data set draws them.
    """

    task: ClassVar[str] = "segmentation"
    colours: Sequence[Colour]
    options: SegmentationOptions

    def __init__(self, options: SegmentationOptions, loader: LoaderConfig) -> None:
        super().__init__(loader)
        self.options = options
        self.image_shape = (len(options.mean), *(options.test_size or options.image_size))

    @abstractmethod
    def _labelled(self, split: Split) -> tuple[Sequence[LabelledImage], Read]:
        """Return the files of one split, and what reads them."""

    def _identity_folder(self) -> Path | None:
        """Folder that fingerprints are relative to; None for images in memory."""
        return self.root

    def class_pixels(self) -> Tensor:
        """Count the pixels of each class in the training split: [K] int64. Reads every label file."""
        self._ready()
        files, read = self._labelled("train")
        counts = torch.zeros(IGNORE + 1, dtype=torch.int64)
        for index in range(len(files)):
            counts += torch.bincount(read(index)[1].flatten().long(), minlength=IGNORE + 1)
        return counts[: len(self.classes)]

    def _samples(self, split: Split, *, training: bool) -> SegmentationSamples:
        files, read = self._labelled(split)
        chosen = self.options
        transform = SegmentationTransform(
            chosen.image_size,
            chosen.scales,
            chosen.horizontal_flip,
            chosen.photometric if self.image_shape[0] == 3 else 0.0,
        )
        return SegmentationSamples(
            files,
            read,
            chosen.image_size if training else (chosen.test_size or chosen.image_size),
            chosen.mean,
            chosen.std,
            transform=transform if training else None,
            folder=self._identity_folder(),
        )
