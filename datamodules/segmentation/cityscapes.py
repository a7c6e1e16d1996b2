"""Cityscapes with fine annotations, and any data set in its layout, read by torchvision's Cityscapes.

    ROOT/PATH/leftImg8bit/{train,val}/CITY/*_leftImg8bit.png
    ROOT/PATH/gtFine/{train,val}/CITY/*_gtFine_labelIds.png

Of the 34 label ids, 19 are classes of training and evaluation; all others are ignored, as the benchmark's
own scripts do. The public validation split is the test split here.

Source: Cordts et al. 2016, The Cityscapes Dataset, arXiv 1604.01685.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torchvision.datasets import Cityscapes as Files

from datamodules.base import LoaderConfig, Split
from datamodules.errors import DataError, missing_data
from datamodules.options import check_relative_path
from datamodules.segmentation.base import SegmentationData, SegmentationOptions
from datamodules.segmentation.labels import IGNORE, LabelIds, LabelledImage, check_files
from datamodules.segmentation.samples import Read, SegmentationReader

LAYOUT = """
DATA_ROOT/
  PATH/                                               (option path)
    leftImg8bit/{train,val}/CITY/*_leftImg8bit.png
    gtFine/{train,val}/CITY/*_gtFine_labelIds.png
"""
_SCORED = sorted((one for one in Files.classes if 0 <= one.train_id < IGNORE), key=lambda one: one.train_id)
IDS = LabelIds(
    {one.id: one.train_id if 0 <= one.train_id < IGNORE else IGNORE for one in Files.classes if one.id >= 0}
)
SPLITS: dict[Split, str] = {"train": "train", "test": "val"}


@dataclass(frozen=True)
class CityscapesOptions(SegmentationOptions):
    """Options of `Cityscapes`."""

    path: str = "cityscapes"  # relative to the data root
    image_size: tuple[int, int] = (512, 1024)
    test_size: tuple[int, int] | None = (1024, 2048)  # full resolution

    def __post_init__(self) -> None:
        super().__post_init__()
        check_relative_path("path", self.path)


class Cityscapes(SegmentationData):
    """Cityscapes, or a data set in its layout with its label ids.

    Args:
        options: folder, sizes, augmentation.
        loader: how to read.
    """

    name = "cityscapes"
    summary = "Cityscapes (fine) or any data set in its layout: street scenes, 19 classes of pixels"
    options_type: ClassVar[type] = CityscapesOptions
    options: CityscapesOptions
    colours = tuple(one.color for one in _SCORED)

    def __init__(self, options: CityscapesOptions, loader: LoaderConfig) -> None:
        super().__init__(options, loader)
        self._classes = tuple(one.name for one in _SCORED)
        self._files: dict[Split, list[LabelledImage]] = {}
        self._readers: dict[Split, SegmentationReader] = {}

    @property
    def folder(self) -> Path:
        """Folder with images and labels."""
        return self.root / self.options.path

    def _open(self) -> None:
        for split, part in SPLITS.items():
            pairs = self._pairs(part)
            check_files(pairs, IDS)
            self._files[split] = pairs
            self._readers[split] = SegmentationReader(pairs, IDS, self.options.in_memory)

    def _pairs(self, part: str) -> list[LabelledImage]:
        for kind in ("leftImg8bit", "gtFine"):
            if not (self.folder / kind / part).is_dir():
                raise missing_data(f"there is no folder {kind}/{part}", self.folder, LAYOUT)
        try:
            listed = Files(str(self.folder), split=part, mode="fine", target_type="semantic")
        except (OSError, RuntimeError) as error:
            raise missing_data(f"no {part} images: {error}", self.folder, LAYOUT) from error
        pairs = [
            LabelledImage(Path(image), Path(targets[0]))
            for image, targets in sorted(zip(listed.images, listed.targets, strict=True))
        ]
        if not pairs:
            raise DataError(f"{self.folder / 'leftImg8bit' / part} has no image in any city's folder")
        return pairs

    def _labelled(self, split: Split) -> tuple[Sequence[LabelledImage], Read]:
        return self._files[split], self._readers[split]
