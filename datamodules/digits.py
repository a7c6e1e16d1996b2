"""Handwritten digits, shipped with scikit-learn: the data set that is always there.

1797 grey images of 8x8 pixels with values 0 to 16 in ten classes. Images are enlarged to 16x16
(option ``size``) by bilinear interpolation, because two pooling stages leave little of 8x8.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository,
doi:10.24432/C50P49 (its test part); copied in scikit-learn, CC BY 4.0.

Split: there is no official one for this copy, so it is fixed here: sort the images by class,
keeping their order, and take every 1797/500th for testing. That gives 1297 training and 500 test
images, each class within one image of its share. The same people wrote both parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from datamodules.base import ClassificationData, LoaderConfig, Split
from datamodules.options import check_integer
from datamodules.samples import ArraySamples

TEST_IMAGES = 500
# Of the 1297 training images at 16x16, pixels scaled to [0, 1]. Other sizes share them: the mean is
# the same at every size, the standard deviation between 1.01 and 1.18.
MEAN, STD = 0.3048, 0.3183


@dataclass(frozen=True)
class DigitsOptions:
    """Options of `Digits`."""

    size: int = 16  # height and width in pixels, 8 to 32; 8 leaves the images as they are

    def __post_init__(self) -> None:
        check_integer("size", self.size, 8, 32)


class Digits(ClassificationData):
    """Scikit-learn's digits as normalised images [1, size, size], held as one tensor.

    Args:
        options: image size.
        loader: how to read; its ``root`` is not used.
    """

    name = "digits"
    summary = "handwritten digits of scikit-learn, 1 channel, 10 classes, 1297 train / 500 test, built in"
    options_type: ClassVar[type] = DigitsOptions

    def __init__(self, options: DigitsOptions, loader: LoaderConfig) -> None:
        super().__init__(loader)
        self.options = options
        self.image_shape = (1, options.size, options.size)
        self._classes = tuple("0123456789")

    def _open(self) -> None:
        digits = load_digits()
        self._raw = torch.from_numpy(digits.images).to(torch.uint8)[:, None]
        self._labels = torch.from_numpy(digits.target).to(torch.int64)
        self._images = enlarge(self._raw, self.options.size)

    def _samples(self, split: Split, *, training: bool) -> ArraySamples:
        chosen = split_indices(self._labels.numpy())[split]
        return ArraySamples(
            self._images[chosen],
            self._labels[chosen],
            keys=chosen.tolist(),
            transform=_as_is,
            raw=self._raw[chosen],
        )


def enlarge(raw: Tensor, size: int) -> Tensor:
    """Map pixels 0..16 [N, 1, 8, 8] to normalised float32 images [N, 1, size, size], bilinearly."""
    scaled = raw.float() / 16
    if size != raw.shape[-1]:
        scaled = F.interpolate(scaled, size=(size, size), mode="bilinear", align_corners=False)
    return (scaled - MEAN) / STD


def split_indices(labels: np.ndarray) -> dict[Split, np.ndarray]:
    """Split by systematic sampling over the images sorted by class.

    Args:
        labels: [N], int.

    Returns:
        Ascending indices of "train" and "test", `TEST_IMAGES` of them in "test".
    """
    order = np.argsort(labels, kind="stable")
    steps = np.arange(len(labels) + 1) * TEST_IMAGES // len(labels)
    is_test = np.zeros(len(labels), dtype=bool)
    is_test[order] = np.diff(steps) == 1
    return {"train": np.flatnonzero(~is_test), "test": np.flatnonzero(is_test)}


def _as_is(images: Tensor) -> Tensor:
    return images
