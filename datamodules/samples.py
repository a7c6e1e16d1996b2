"""The samples of one split: read in batches, and nameable one by one.

A loader asks for a whole batch of indices at once (torch's ``__getitems__`` protocol), so a set
in memory costs one indexing operation a batch instead of one Python call an image, while
samplers, workers and Lightning's distributed sampler still see an ordinary map-style data set.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.images import read_image

Batch = tuple[Tensor, Any]  # images [B, C, H, W], targets of the task
BatchTransform = Callable[[Tensor], Tensor]


class Samples(Dataset[Batch], ABC):
    """A finite sequence of images with targets."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @abstractmethod
    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return the samples at ``indices`` as one batch (already collated)."""

    @abstractmethod
    def identity(self, index: int) -> bytes:
        """Return what fixes one sample and its target, for fingerprints; equal on every machine."""

    @abstractmethod
    def key(self, index: int) -> Hashable:
        """Return where a sample is stored; two splits with a common key share that sample."""

    @abstractmethod
    def content(self, index: int) -> bytes:
        """Return a hash of the stored image alone; equal for copies, whatever they are called."""

    def __getitem__(self, index: int) -> Batch:
        images, targets = self.__getitems__([index])
        return images[0], targets[0]


class ChosenSamples(Samples):
    """Some samples of another sequence, in a given order.

    Args:
        source: where they come from.
        indices: positions in ``source``.
    """

    def __init__(self, source: Samples, indices: Sequence[int]) -> None:
        self.source = source
        self.indices = [int(index) for index in indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        return self.source.__getitems__([self.indices[index] for index in indices])

    def identity(self, index: int) -> bytes:
        """See `Samples.identity`."""
        return self.source.identity(self.indices[index])

    def key(self, index: int) -> Hashable:
        """See `Samples.key`."""
        return self.source.key(self.indices[index])

    def content(self, index: int) -> bytes:
        """See `Samples.content`."""
        return self.source.content(self.indices[index])


class ArraySamples(Samples):
    """Labelled images in memory.

    Args:
        images: [N, C, H, W], any dtype that ``transform`` takes.
        labels: [N], int64.
        keys: one storage key per sample, see `Samples.key`.
        transform: batch [B, C, H, W] -> float32 batch, already augmented and scaled.
        raw: [N, ...] what fingerprints are taken of; ``images`` where absent.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        keys: Sequence[Hashable],
        transform: BatchTransform,
        raw: Tensor | None = None,
    ) -> None:
        self.images = images
        self.labels = labels
        self.keys = keys
        self.transform = transform
        self.raw = images if raw is None else raw

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        chosen = torch.as_tensor(indices)
        return self.transform(self.images[chosen]), self.labels[chosen]

    def identity(self, index: int) -> bytes:
        """Return the image's bytes and its label."""
        return self.raw[index].numpy().tobytes() + f"|{int(self.labels[index])}".encode()

    def key(self, index: int) -> Hashable:
        """See `Samples.key`."""
        return self.keys[index]

    def content(self, index: int) -> bytes:
        """See `Samples.content`."""
        return hashlib.sha256(self.raw[index].numpy().tobytes()).digest()


class FileSamples(Samples):
    """Labelled image files.

    Args:
        folder: folder that identities are relative to.
        files: (path, label) pairs.
        channels: 3 decodes to RGB, 1 to grey.
        prepare: PIL image -> uint8 [C, H, W] of one size.
        transform: uint8 batch [B, C, H, W] -> float32 batch, already augmented and scaled.
        in_memory: decode everything now (N*C*H*W bytes) and serve from memory.

    Raises:
        DataError: a file cannot be decoded; it is named. Raised when the file is read.
    """

    def __init__(
        self,
        folder: Path,
        files: Sequence[tuple[str, int]],
        channels: int,
        prepare: Callable[[Image.Image], Tensor],
        transform: BatchTransform,
        in_memory: bool = False,
    ) -> None:
        self.folder = folder
        self.files = files
        self.mode = {1: "L", 3: "RGB"}[channels]
        self.prepare = prepare
        self.transform = transform
        self.labels = torch.tensor([label for _, label in files], dtype=torch.int64)
        self._pixels = self._read(range(len(files))) if in_memory else None

    def __len__(self) -> int:
        return len(self.files)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        chosen = torch.as_tensor(indices)
        pixels = self._read(indices) if self._pixels is None else self._pixels[chosen]
        return self.transform(pixels), self.labels[chosen]

    def identity(self, index: int) -> bytes:
        """Return the relative path, the size in bytes and the label; the file is not opened."""
        path, label = self.files[index]
        relative = Path(path).relative_to(self.folder).as_posix()
        return f"{relative}|{Path(path).stat().st_size}|{label}".encode()

    def key(self, index: int) -> Hashable:
        """Return device and inode, which see through symbolic and hard links."""
        return file_key(Path(self.files[index][0]))

    def content(self, index: int) -> bytes:
        """See `Samples.content`."""
        return file_content(Path(self.files[index][0]))

    def _read(self, indices: Sequence[int]) -> Tensor:
        images = [self.prepare(_decode(self.files[index][0], self.mode)) for index in indices]
        return torch.stack([image.as_subclass(Tensor) for image in images])


def file_key(path: Path) -> Hashable:
    """Return device and inode, which see through symbolic and hard links."""
    status = path.stat()
    return status.st_dev, status.st_ino


def file_content(path: Path) -> bytes:
    """Return the sha256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def collate(batch: Any) -> Batch:
    """Pass a batch on: `Samples` hand over whole batches."""
    images, targets = batch
    return images, targets


def _decode(path: str, mode: str) -> Image.Image:
    return read_image(Path(path), mode)
