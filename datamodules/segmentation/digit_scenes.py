"""Scenes of digits with a class for every pixel, the segmentation data set that is always there.

The same scenes as `datamodules.detection.digit_scenes` has, with their masks instead of their boxes.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from datamodules.base import LoaderConfig, Split
from datamodules.errors import DataError
from datamodules.options import check_integer
from datamodules.scenes import CLASSES, Scene, SceneOptions, compose
from datamodules.segmentation.base import Colour, SegmentationData, SegmentationOptions
from datamodules.segmentation.labels import LabelledImage
from datamodules.segmentation.samples import Read


@dataclass(frozen=True)
class DigitSceneMasksOptions(SegmentationOptions):
    """Options of `DigitSceneMasks`."""

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
        if self.horizontal_flip:
            raise DataError("horizontal_flip must be false: mirrored digits mean nothing")
        if len(self.mean) != 1:
            raise DataError(f"mean and std must be one number each, scenes are grey; got {self.mean!r}")
        if self.image_size[0] != self.image_size[1] or self.test_size not in (None, self.image_size):
            raise DataError(
                f"image_size must be a square, and test_size the same; got {self.image_size!r}"
                f" and {self.test_size!r}"
            )


def _colours() -> tuple[Colour, ...]:
    hues = [colorsys.hsv_to_rgb(k / len(CLASSES), 1 - 0.4 * (k % 2), 1.0) for k in range(len(CLASSES))]
    return (0, 0, 0), *((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in hues)


class DigitSceneMasks(SegmentationData):
    """Grey scenes with none to four digits each; class 0 is the ground, class k + 1 the digit k.

    Args:
        options: size and number of scenes, augmentation.
        loader: how to read; its ``root`` is not used.
    """

    name = "digit_scene_masks"
    summary = "scenes of scikit-learn's digits with a class per pixel, 1 channel, 11 classes, built in"
    options_type: ClassVar[type] = DigitSceneMasksOptions
    options: DigitSceneMasksOptions
    colours = _colours()

    def __init__(self, options: DigitSceneMasksOptions, loader: LoaderConfig) -> None:
        super().__init__(options, loader)
        self._classes = ("background", *CLASSES)
        self._scenes: dict[Split, list[Scene]] = {}

    def _open(self) -> None:
        counts: dict[Split, int] = {"train": self.options.train_images, "test": self.options.test_images}
        look = SceneOptions(size=self.options.image_size[0])
        for split, count in counts.items():
            self._scenes[split] = [compose(split, index, look) for index in range(count)]

    def _labelled(self, split: Split) -> tuple[Sequence[LabelledImage], Read]:
        scenes = self._scenes[split]
        files = [
            LabelledImage(Path(split, f"{i}.png"), Path(split, f"{i}-mask.png")) for i in range(len(scenes))
        ]
        return files, lambda index: (
            torch.from_numpy(scenes[index].image)[None],
            torch.from_numpy(scenes[index].mask),
        )

    def _identity_folder(self) -> Path | None:
        return None
