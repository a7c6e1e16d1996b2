"""CIFAR-10 and CIFAR-100: 32x32 colour photographs, 50000 training and 10000 test images.

Files are the official Python archives, checked by torchvision's checksums before they are read:

    ROOT/cifar-10-batches-py/{data_batch_1..5, test_batch, batches.meta}
    ROOT/cifar-100-python/{train, test, meta}

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.utils import check_integrity
from torchvision.transforms import v2

from datamodules.base import ClassificationData, LoaderConfig, Split
from datamodules.errors import DataError, missing_data
from datamodules.options import check_channels, check_flag, check_relative_path
from datamodules.samples import ArraySamples
from datamodules.transforms import CropFlip, pixel_scaling

CROP_PADDING = 4  # pixels; He et al. 2016, arXiv 1512.03385, section 4.2


@dataclass(frozen=True)
class CifarOptions:
    """Options of `Cifar10` and `Cifar100`."""

    path: str = "."  # folder of the official folder, relative to the data root
    mean: tuple[float, ...] | None = None  # per channel, pixels in [0, 1]; None: of the training set
    std: tuple[float, ...] | None = None
    augment: bool = True  # random crop and flip of training images

    def __post_init__(self) -> None:
        check_relative_path("path", self.path)
        check_flag("augment", self.augment)
        if (self.mean is None) != (self.std is None):
            raise DataError("mean and std must be given together")
        if self.mean is not None:
            check_channels(self.mean, self.std)
            if len(self.mean) != 3:
                raise DataError(f"CIFAR has 3 channels, got mean {self.mean!r}")


class _Cifar(ClassificationData):
    options_type: ClassVar[type] = CifarOptions
    archive: ClassVar[type[datasets.CIFAR10]]
    layout: ClassVar[str]
    mean: ClassVar[tuple[float, ...]]  # of the training pixels in [0, 1]
    std: ClassVar[tuple[float, ...]]

    def __init__(self, options: CifarOptions, loader: LoaderConfig) -> None:
        super().__init__(loader)
        self.options = options
        self.image_shape = (3, 32, 32)
        self._arrays: dict[Split, tuple[Tensor, Tensor]] = {}

    @property
    def folder(self) -> Path:
        """Folder that holds the official folder."""
        return self.root / self.options.path

    def prepare_data(self) -> None:
        """Download the archive where `LoaderConfig.download` asks for it and it is missing."""
        if self.loader.download:
            self._read("test", download=True)

    def _open(self) -> None:
        for split in ("train", "test"):
            read = self._read(split)
            images = torch.from_numpy(read.data).permute(0, 3, 1, 2).contiguous()
            self._arrays[split] = images, torch.tensor(read.targets, dtype=torch.int64)
            self._classes = tuple(read.classes)

    def _samples(self, split: Split, *, training: bool) -> ArraySamples:
        images, labels = self._arrays[split]
        scaling = pixel_scaling(self.options.mean or self.mean, self.options.std or self.std)
        augmented = training and self.options.augment
        transform = v2.Compose([CropFlip(CROP_PADDING), scaling]) if augmented else scaling
        # Each split has files of its own, so a row of a split is stored nowhere else.
        keys = [(split, row) for row in range(len(labels))]
        return ArraySamples(images, labels, keys, transform)

    def _read(self, split: Split, download: bool = False) -> datasets.CIFAR10:
        try:
            return self.archive(str(self.folder), train=split == "train", download=download)
        except (RuntimeError, OSError) as error:  # torchvision: absent, wrong checksum, no network
            if download:
                problem = f"{self.name} cannot be downloaded ({error})"
            elif faults := self._faults():
                again = f"delete {self.archive.base_folder} and unpack {self.archive.filename} again"
                problem = f"{self.name} is incomplete or damaged: {'; '.join(faults)}. To mend it, {again}"
            else:
                problem = f"{self.name} is not there{self._packed()}"
            raise missing_data(problem, self.folder, self.layout) from error

    def _faults(self) -> list[str]:
        """What is wrong with the files of the official folder; nothing where there is no such folder."""
        folder = self.folder / self.archive.base_folder
        if not folder.is_dir():
            return []
        files = [*self.archive.train_list, *self.archive.test_list]
        files.append([self.archive.meta["filename"], self.archive.meta["md5"]])
        missing = [f"{name} is missing" for name, _ in files if not (folder / name).is_file()]
        present = [(name, checksum) for name, checksum in files if (folder / name).is_file()]
        return missing + [
            f"{name} ({(folder / name).stat().st_size} bytes) is truncated or damaged, its checksum is wrong"
            for name, checksum in present
            if not check_integrity(folder / name, checksum)
        ]

    def _packed(self) -> str:
        """What to do with the official archive, where it lies in the folder."""
        packed = self.folder / self.archive.filename
        if not packed.is_file():
            return ""
        if check_integrity(packed, self.archive.tgz_md5):
            return f", but packed: unpack it with tar -xzf {packed} -C {self.folder}"
        return (
            f": {packed} ({packed.stat().st_size} bytes) is truncated or damaged, its checksum is wrong;"
            f" delete it and download {self.archive.url} again"
        )


class Cifar10(_Cifar):
    """CIFAR-10: [3, 32, 32], 10 classes, with random crop and flip for training.

    Args:
        options: folder, pixel scaling, augmentation.
        loader: how to read; can download.
    """

    name = "cifar10"
    summary = "CIFAR-10, 3x32x32 photographs, 10 classes, 50000 train / 10000 test, can download"
    archive = datasets.CIFAR10
    layout = """
DATA_ROOT/
  cifar-10-batches-py/
    data_batch_1 ... data_batch_5
    test_batch
    batches.meta
"""
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)


class Cifar100(_Cifar):
    """CIFAR-100: [3, 32, 32], 100 fine classes, with random crop and flip for training.

    Args:
        options: folder, pixel scaling, augmentation.
        loader: how to read; can download.
    """

    name = "cifar100"
    summary = "CIFAR-100, 3x32x32 photographs, 100 classes, 50000 train / 10000 test, can download"
    archive = datasets.CIFAR100
    layout = """
DATA_ROOT/
  cifar-100-python/
    train
    test
    meta
"""
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
