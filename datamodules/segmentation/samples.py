"""Samples of a segmentation split: images of one size, and one target per image."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from datamodules.detection.samples import decode
from datamodules.detection.transforms import Letterbox, scaled
from datamodules.samples import Samples, file_content, file_key
from datamodules.segmentation.labels import LabelIds, LabelledImage, check_size
from datamodules.segmentation.transforms import SegmentationTransform

Read = Callable[[int], tuple[Tensor, Tensor]]  # position -> image [C, H, W], labels [H, W], both uint8


class SegmentationTarget(TypedDict):
    """What is known of one image.

    In training `labels` fit the network's input. In testing they are the stored ones, whatever the size
    of the input, and `letterbox` says where in the input the image lies.
    """

    labels: Tensor  # [H, W] uint8, classes and 255 for pixels that do not count
    letterbox: Tensor  # [6] float64: scale x, y, offset x, y, width, height
    input_size: Tensor  # [2] int64, height and width of the input
    index: Tensor  # [] int64, position in the split


class SegmentationSamples(Samples):
    """Labelled images, read one by one and stacked.

    Args:
        files: of the images.
        read: position -> image and labels.
        size: (height, width) of the network's input.
        mean: per channel, pixels in [0, 1].
        std: per channel.
        transform: random view for training; None for testing.
        folder: folder that identities are relative to; None for images in memory.
    """

    def __init__(
        self,
        files: Sequence[LabelledImage],
        read: Read,
        size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
        transform: SegmentationTransform | None = None,
        folder: Path | None = None,
    ) -> None:
        self.files = files
        self.read = read
        self.size = size
        self.mean, self.std = mean, std
        self.transform = transform
        self.folder = folder

    def __len__(self) -> int:
        return len(self.files)

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, list[SegmentationTarget]]:
        chosen = [self._one(index) for index in indices]
        pixels = torch.stack([image for image, _ in chosen])
        return scaled(pixels, self.mean, self.std), [target for _, target in chosen]

    def identity(self, index: int) -> bytes:
        """Return paths and sizes of both files, or the pixels themselves."""
        if self.folder is None:
            image, labels = self.read(index)
            return image.numpy().tobytes() + labels.numpy().tobytes()
        pair = self.files[index]
        parts = [f"{f.relative_to(self.folder).as_posix()}|{f.stat().st_size}" for f in _both(pair)]
        return "|".join(parts).encode()

    def key(self, index: int) -> Hashable:
        """See `Samples.key`."""
        path = self.files[index].image
        if self.folder is None:
            return path
        return file_key(path)

    def content(self, index: int) -> bytes:
        """See `Samples.content`."""
        if self.folder is None:
            return hashlib.sha256(self.read(index)[0].numpy().tobytes()).digest()
        return file_content(self.files[index].image)

    def _one(self, index: int) -> tuple[Tensor, SegmentationTarget]:
        image, labels = self.read(index)
        if self.transform is None:
            fit = Letterbox.fit((image.shape[2], image.shape[1]), self.size)
            view = fit.apply(image, self.size)
        else:
            view, labels = self.transform(image, labels)
            fit = Letterbox.fit((self.size[1], self.size[0]), self.size)
        target = SegmentationTarget(
            labels=labels,
            letterbox=fit.numbers,
            input_size=torch.tensor(self.size),
            index=torch.tensor(index),
        )
        return view, target


class SegmentationReader:
    """Decodes images and label maps; names a file that does not decode or does not fit.

    Args:
        files: of the images.
        ids: how label files are read.
        in_memory: keep what was decoded; takes four bytes a pixel.
    """

    def __init__(self, files: Sequence[LabelledImage], ids: LabelIds, in_memory: bool = False) -> None:
        self._files, self._ids = files, ids
        self._kept: dict[int, tuple[Tensor, Tensor]] | None = {} if in_memory else None

    def __call__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return image [3, H, W] and labels [H, W] at a position."""
        if self._kept is None:
            return self._read(index)
        if index not in self._kept:
            self._kept[index] = self._read(index)
        return self._kept[index]

    def _read(self, index: int) -> tuple[Tensor, Tensor]:
        pair = self._files[index]
        labels, image = self._ids.read(pair.label), decode(pair.image)
        check_size(image, labels, pair)
        return image, labels


def _both(pair: LabelledImage) -> tuple[Path, Path]:
    return pair.image, pair.label
