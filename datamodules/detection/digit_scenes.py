"""Scenes of digits with boxes, the detection data set that is always there.

Composed from scikit-learn's digits by `datamodules.scenes`, put into COCO form, and read by the same
code as COCO's own annotation files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import LoaderConfig, Split
from datamodules.detection.annotations import AnnotatedImage, BoxChecks
from datamodules.detection.base import DetectionData, DetectionOptions
from datamodules.detection.coco import annotated_images, check_form
from datamodules.errors import DataError
from datamodules.options import check_integer
from datamodules.scenes import CLASSES, Scene, SceneOptions, compose, in_coco_form


@dataclass(frozen=True)
class DigitScenesOptions(DetectionOptions):
    """Options of `DigitScenes`."""

    image_size: tuple[int, int] = (64, 64)
    mean: tuple[float, ...] = (0.173,)  # of the training scenes, pixels in [0, 1]
    std: tuple[float, ...] = (0.163,)
    scales: tuple[float, float] = (0.8, 1.25)
    horizontal_flip: bool = False  # a mirrored digit is no digit
    train_images: int = 600
    test_images: int = 120

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("train_images", self.train_images, 1)
        check_integer("test_images", self.test_images, 1)
        if self.horizontal_flip or self.vertical_flip:
            raise DataError("horizontal_flip and vertical_flip must be false: mirrored digits mean nothing")
        if len(self.mean) != 1:
            raise DataError(f"mean and std must be one number each, scenes are grey; got {self.mean!r}")
        if self.image_size[0] != self.image_size[1]:
            raise DataError(f"image_size must be a square, got {self.image_size!r}")


class DigitScenes(DetectionData):
    """Grey scenes with none to four digits each; a seventh of them is empty.

    Args:
        options: size and number of scenes, augmentation.
        loader: how to read; its ``root`` is not used.
    """

    name = "digit_scenes"
    summary = "scenes of scikit-learn's digits with boxes, 1 channel, 10 classes, built in"
    options_type: ClassVar[type] = DigitScenesOptions
    options: DigitScenesOptions

    def __init__(self, options: DigitScenesOptions, loader: LoaderConfig) -> None:
        super().__init__(options, loader)
        self._classes = CLASSES
        self._scenes: dict[Split, list[Scene]] = {}
        self._images: dict[Split, list[AnnotatedImage]] = {}

    def _open(self) -> None:
        counts: dict[Split, int] = {"train": self.options.train_images, "test": self.options.test_images}
        look = SceneOptions(size=self.options.image_size[0])
        checks = BoxChecks(f"data set {self.name!r}")
        for split, count in counts.items():
            scenes = [compose(split, index, look) for index in range(count)]
            content = in_coco_form(scenes)
            check_form(content, f"{split} scenes")
            self._scenes[split] = scenes
            self._images[split] = annotated_images(content, Path(split), checks)
        checks.report()

    def _annotated(self, split: Split) -> tuple[Sequence[AnnotatedImage], Callable[[int], Tensor]]:
        scenes = self._scenes[split]
        return self._images[split], lambda index: torch.from_numpy(scenes[index].image)[None]

    def _identity_folder(self) -> Path | None:
        return None
