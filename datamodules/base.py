"""What every data set offers: loaders, calibration images, fingerprints, and a check of its splits.

`DataModule` holds for any task whose batches are (images, targets); `ClassificationData` is the base
of data sets with one label per image. Constructing a data module touches no file; `setup` does, and every
method calls it when needed, so that a data module also works without a trainer.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.errors import HOW_TO_PASS_ROOT, ROOT_VARIABLE, DataError
from datamodules.options import LONGEST_NAME, check_flag, check_integer
from datamodules.samples import ChosenSamples, Samples, collate

Split = Literal["train", "test"]

# Every caller that limits the test set gets the same images, whatever its own seed.
TEST_ORDER_SEED = 0
# numpy's legacy generator, because its stream is frozen across versions (NEP 19).
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class LoaderConfig:
    """How any data set is read."""

    root: Path | None = None  # folder of all data sets; None: the SPIKEMARK_DATA variable
    batch_size: int = 128
    num_workers: int = 0  # processes that read images; 0 reads in the main process
    calibration_images: int = 256  # drawn from the training split
    seed: int = 0  # draws the calibration images and nothing else
    test_images: int | None = None  # largest number of test images; None: all
    download: bool = False  # fetch what is missing, where the data set offers it

    def __post_init__(self) -> None:
        check_integer("batch_size", self.batch_size, 1)
        check_integer("num_workers", self.num_workers, 0)
        check_integer("calibration_images", self.calibration_images, 1)
        check_integer("seed", self.seed, 0, LARGEST_SEED)
        if self.test_images is not None:
            check_integer("test_images", self.test_images, 1)
        check_flag("download", self.download)


class DataModule(pl.LightningDataModule, ABC):
    """One data set with its official training and test split.

    Attributes:
        name: name in the registry.
        task: ``"classification"``, or the task of a subclass.
        summary: one line for listings.
        options_type: frozen dataclass of the data set's own options.
        image_shape: (C, H, W) of every image.
    """

    name: str
    task: ClassVar[str]
    summary: ClassVar[str]
    options_type: ClassVar[type]
    image_shape: tuple[int, int, int]

    def __init__(self, loader: LoaderConfig) -> None:
        super().__init__()
        self.loader = loader
        self._classes: tuple[str, ...] | None = None
        self._is_open = False

    @abstractmethod
    def _open(self) -> None:
        """Find the files or read the arrays, and set ``_classes`` where it is not known before.

        Raises:
            DataError: something is missing or contradictory.
        """

    @abstractmethod
    def _samples(self, split: Split, *, training: bool) -> Samples:
        """Return one whole split, with training transforms or with test transforms."""

    @property
    def root(self) -> Path:
        """The folder of all data sets: the loader's, else the SPIKEMARK_DATA variable's.

        Raises:
            DataError: neither is given.
        """
        root = self.loader.root or os.environ.get(ROOT_VARIABLE)
        if not root:
            raise DataError(f"data set {self.name!r} needs a data root. {HOW_TO_PASS_ROOT}")
        path = Path(root).expanduser()
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
            raise DataError(f"the data root {str(path)[:80]}... has a name of more than {LONGEST_NAME} bytes")
        return path

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels.

        Known at construction where the data set defines them; else the first use reads the
        folders or the meta file, like `setup`.
        """
        if self._classes is None:
            self._ready()
        assert self._classes is not None, f"{type(self).__name__}._open must set the classes"
        return self._classes

    def setup(self, stage: str | None = None) -> None:
        """Find the files and read labels, once; ``stage`` makes no difference."""
        if not self._is_open:
            self._open()
            self._is_open = True

    def train_dataloader(self) -> DataLoader[Any]:
        """Return shuffled, augmented training batches.

        Order and augmentation follow torch's global seed. A last batch that is not full is left
        out of the epoch, unless it is the only one.
        """
        self._ready()
        samples = self._samples("train", training=True)
        whole_batches = len(samples) >= self.loader.batch_size
        return self._loader(samples, shuffle=True, drop_last=whole_batches)

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the test batches, never shuffled.

        All test images in official order; or, with ``test_images`` = N, the first N of one fixed
        permutation, so that a set sorted by class gives a sample of all classes and a smaller N
        is a prefix of a larger one.
        """
        self._ready()
        return self._loader(self._test(), shuffle=False)

    def calibration_batches(self) -> list[Tensor]:
        """Draw ``calibration_images`` of the training split by ``seed``, without augmentation.

        Returns:
            Batches [B, C, H, W] of normalised float32 images with test transforms, of
            ``batch_size`` images except perhaps the last.

        Raises:
            DataError: the training split has fewer images.
        """
        self._ready()
        return [images for images, _ in self._loader(self._calibration(), shuffle=False)]

    def calibration_samples(self) -> list[Any]:
        """Draw the images of `calibration_batches` with their targets.

        Returns:
            Batches (images [B, C, H, W], targets), in the same order.
        """
        self._ready()
        return list(self._loader(self._calibration(), shuffle=False))

    def fingerprint(self) -> dict[str, str]:
        """Name the exact data: "train", "test" (as limited) and "calibration" (as drawn).

        Returns:
            Split name -> sha256 in hex over the samples in order. A file counts by relative path,
            size and label, an array by its bytes and label, so no image is decoded.
        """
        self._ready()
        parts = {
            "train": self._samples("train", training=False),
            "test": self._test(),
            "calibration": self._calibration(),
        }
        return {name: _digest(samples) for name, samples in parts.items()}

    def overlap(self, *, content: bool = False) -> list[tuple[int, int]]:
        """Find samples that are in both the training and the whole test split.

        Args:
            content: compare the stored images themselves, which finds copies under other names
                but reads every file. Some official splits are known to share a few images.

        Returns:
            (training index, test index) pairs; without ``content``, samples are compared by where
            they are stored, seen through links.
        """
        self._ready()
        train = self._samples("train", training=False)
        test = self._samples("test", training=False)
        name = "content" if content else "key"
        seen = {getattr(train, name)(index): index for index in range(len(train))}
        keys = ((getattr(test, name)(index), index) for index in range(len(test)))
        return [(seen[key], index) for key, index in keys if key in seen]

    def check_disjoint(self, *, content: bool = False) -> None:
        """Check that no sample is in both splits; arguments as in `overlap`.

        Raises:
            DataError: some are; the first pair is named by its indices.
        """
        if shared := self.overlap(content=content):
            train, test = shared[0]
            raise DataError(
                f"the splits of {self.name!r} overlap: {len(shared)} test image(s) are also training"
                f" images, first test index {test} = training index {train}"
            )

    def _ready(self) -> None:
        if not self._is_open:
            self.prepare_data()
            self.setup()

    def _test(self) -> Samples:
        samples = self._samples("test", training=False)
        if self.loader.test_images is None:
            return samples
        return ChosenSamples(samples, _permutation(len(samples), TEST_ORDER_SEED)[: self.loader.test_images])

    def _calibration(self) -> Samples:
        samples = self._samples("train", training=False)
        wanted = self.loader.calibration_images
        if wanted > len(samples):
            raise DataError(
                f"{wanted} calibration images asked for, but the training split of {self.name!r} has"
                f" {len(samples)}; set calibration_images to at most that"
            )
        return ChosenSamples(samples, _permutation(len(samples), self.loader.seed)[:wanted])

    def _loader(self, samples: Samples, *, shuffle: bool, drop_last: bool = False) -> DataLoader[Any]:
        return DataLoader(
            samples,
            batch_size=self.loader.batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            num_workers=self.loader.num_workers,
            persistent_workers=shuffle and self.loader.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=collate,
        )


class ClassificationData(DataModule):
    """A data set with one label per image: batches are (images [B, C, H, W], labels [B] int64)."""

    task: ClassVar[str] = "classification"


def _permutation(count: int, seed: int) -> list[int]:
    order: list[int] = np.random.RandomState(seed).permutation(count).tolist()
    return order


def _digest(samples: Samples) -> str:
    digest = hashlib.sha256()
    for index in range(len(samples)):
        identity = samples.identity(index)
        digest.update(len(identity).to_bytes(8, "big"))  # keeps neighbours apart
        digest.update(identity)
    return digest.hexdigest()
