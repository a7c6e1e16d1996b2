"""Samples of a detection split: images of one size, and one target per image."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from datamodules.detection.annotations import AnnotatedImage
from datamodules.detection.transforms import DetectionTransform, Letterbox, scaled
from datamodules.errors import DataError
from datamodules.images import check_image, read_image, stored_size
from datamodules.samples import Samples, file_content, file_key


class DetectionTarget(TypedDict):
    """What is known of one image.

    `boxes` and `labels` are what a network is trained on: [N, 4] in pixels of the network's input, and
    [N]. The other entries are what it is scored on, in pixels of the stored image, and how to get there.
    """

    boxes: Tensor  # [N, 4] float32, input pixels, without crowds
    labels: Tensor  # [N] int64
    true_boxes: Tensor  # [M, 4] float64, stored pixels
    true_labels: Tensor  # [M] int64
    true_areas: Tensor  # [M] float64
    crowd: Tensor  # [M] bool
    difficult: Tensor  # [M] bool
    letterbox: Tensor  # [6] float64: scale x, y, offset x, y, width, height
    input_size: Tensor  # [2] int64, height and width of the input
    index: Tensor  # [] int64, position in the split


class DetectionSamples(Samples):
    """Annotated images, read one by one and stacked.

    Args:
        images: what is annotated.
        read: position -> uint8 image [C, H, W].
        size: (height, width) of the network's input.
        mean: per channel, pixels in [0, 1].
        std: per channel.
        transform: random view for training; None for the letterbox of testing.
        train_difficult: whether difficult objects are trained on.
        folder: folder that identities are relative to; None for images in memory.
    """

    def __init__(
        self,
        images: Sequence[AnnotatedImage],
        read: Callable[[int], Tensor],
        size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
        transform: DetectionTransform | None = None,
        train_difficult: bool = False,
        folder: Path | None = None,
    ) -> None:
        self.images = images
        self.read = read
        self.size = size
        self.mean, self.std = mean, std
        self.transform = transform
        self.train_difficult = train_difficult
        self.folder = folder

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, list[DetectionTarget]]:
        chosen = [self._one(index) for index in indices]
        pixels = torch.stack([image for image, _ in chosen])
        return scaled(pixels, self.mean, self.std), [target for _, target in chosen]

    def identity(self, index: int) -> bytes:
        """Return path and size of the file (or the pixels themselves) and the annotation."""
        known = self.images[index]
        if self.folder is None:
            return self.read(index).numpy().tobytes() + known.identity()
        relative = known.path.relative_to(self.folder).as_posix()
        return f"{relative}|{known.path.stat().st_size}|".encode() + known.identity()

    def key(self, index: int) -> Hashable:
        """See `Samples.key`."""
        path = self.images[index].path
        if self.folder is None:
            return path
        return file_key(path)

    def content(self, index: int) -> bytes:
        """See `Samples.content`."""
        if self.folder is None:
            return hashlib.sha256(self.read(index).numpy().tobytes()).digest()
        return file_content(self.images[index].path)

    def _one(self, index: int) -> tuple[Tensor, DetectionTarget]:
        known, image = self.images[index], self.read(index)
        stored = (int(image.shape[-1]), int(image.shape[-2]))
        _check_size(known, stored)
        fit = Letterbox.fit(stored, self.size)
        true_boxes = torch.from_numpy(known.boxes)
        wanted = torch.from_numpy(~known.crowd & (self.train_difficult | ~known.difficult))
        boxes, labels = true_boxes[wanted].float(), torch.from_numpy(known.labels)[wanted]
        if self.transform is None:
            view, boxes = fit.apply(image, self.size), fit.boxes_in(boxes)
        else:
            view, boxes, labels = self.transform(image, boxes, labels)
        target = DetectionTarget(
            boxes=boxes,
            labels=labels,
            true_boxes=true_boxes,
            true_labels=torch.from_numpy(known.labels),
            true_areas=torch.from_numpy(known.areas),
            crowd=torch.from_numpy(known.crowd),
            difficult=torch.from_numpy(known.difficult),
            letterbox=fit.numbers,
            input_size=torch.tensor(self.size),
            index=torch.tensor(index),
        )
        return view, target


class DetectionReader:
    """Decodes image files to uint8 [3, H, W]; names a file that does not decode.

    Args:
        images: what is annotated.
        in_memory: keep decoded images; takes their pixels in bytes of memory.
    """

    def __init__(self, images: Sequence[AnnotatedImage], in_memory: bool = False) -> None:
        self._images = images
        self._kept: dict[int, Tensor] | None = {} if in_memory else None

    def __call__(self, index: int) -> Tensor:
        """Return the image at a position."""
        if self._kept is None:
            return decode(self._images[index].path)
        if index not in self._kept:
            self._kept[index] = decode(self._images[index].path)
        return self._kept[index]


def check_headers(images: Sequence[AnnotatedImage]) -> None:
    """Look at both ends of every image file, so that a wrong one is found before hours of work, not after.

    Raises:
        DataError: a file is missing, is no image, is truncated, has another size than its annotation says,
            or holds values whose white is not known.
    """
    for known in images:
        _check_size(known, stored_size(known.path))
        check_image(known.path)


def _check_size(known: AnnotatedImage, stored: tuple[int, int]) -> None:
    if stored != (known.width, known.height):
        raise DataError(
            f"{known.path} has {stored[0]}x{stored[1]} pixels, but its annotation says"
            f" {known.width}x{known.height}; boxes would not fit. Correct one of the two."
        )


def decode(path: Path) -> Tensor:
    """Return an image file as uint8 [3, H, W].

    Raises:
        DataError: it is missing, does not decode, or holds values whose white is not known; it is named.
    """
    return torch.from_numpy(np.array(read_image(path, "RGB"))).permute(2, 0, 1)
