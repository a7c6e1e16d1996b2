"""ImageNet (ILSVRC 2012): 1.28 million training images, the 50000 validation images as test.

    ROOT/imagenet/meta.bin                  written by torchvision from the development kit
    ROOT/imagenet/train/n01440764/*.JPEG
    ROOT/imagenet/val/n01440764/*.JPEG

torchvision unpacks the official archives (ILSVRC2012_devkit_t12.tar.gz, ILSVRC2012_img_train.tar,
ILSVRC2012_img_val.tar) into that layout when they lie in the folder. They cannot be downloaded
without an account at image-net.org.

The option `classes` names a file of folder names in the order of the labels, one a line, which lies in the
folder imagenet or below the data root. With it neither meta.bin nor all classes are needed: each split may
hold a part of them, and keeps the labels that networks were trained with.

Source: Russakovsky et al. 2015, doi:10.1007/s11263-015-0816-y. Research use only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torchvision import datasets
from torchvision.datasets.imagenet import ARCHIVE_META, META_FILE

from datamodules.base import ClassificationData, LoaderConfig, Split
from datamodules.class_folders import list_part, read_class_list
from datamodules.errors import DataError, missing_data
from datamodules.options import check_channels, check_integer, check_relative_path
from datamodules.samples import FileSamples
from datamodules.transforms import pixel_scaling, random_resized_crop, resize_and_crop

MEAN = (0.485, 0.456, 0.406)  # of training pixels in [0, 1]; what torchvision's weights expect
STD = (0.229, 0.224, 0.225)
FOLDERS: dict[Split, str] = {"train": "train", "test": "val"}
LAYOUT = """
DATA_ROOT/
  imagenet/                 (option path)
    meta.bin                (or ILSVRC2012_devkit_t12.tar.gz; not needed with the option classes)
    train/n01440764/*.JPEG  (or ILSVRC2012_img_train.tar)
    val/n01440764/*.JPEG    (or ILSVRC2012_img_val.tar)
"""


@dataclass(frozen=True)
class ImageNetOptions:
    """Options of `ImageNet`."""

    path: str = "imagenet"  # relative to the data root
    image_size: int = 224  # height and width in pixels that the network sees
    resize_size: int = 256  # shorter side in pixels before the centre crop
    mean: tuple[float, ...] = MEAN  # per channel, pixels in [0, 1]
    std: tuple[float, ...] = STD
    classes: str | None = None  # file of folder names in the order of the labels, relative to `path`

    def __post_init__(self) -> None:
        check_relative_path("path", self.path)
        check_integer("image_size", self.image_size, 1)
        check_integer("resize_size", self.resize_size, self.image_size)
        check_channels(self.mean, self.std)
        if len(self.mean) != 3:
            raise DataError(
                f"mean and std must be three numbers each, ImageNet is in colour; got {self.mean!r}"
            )
        if self.classes is not None:
            check_relative_path("classes", self.classes)


class ImageNet(ClassificationData):
    """ImageNet with the usual transforms: random resized crop and flip, resize and centre crop.

    Args:
        options: folder, sizes, pixel scaling, list of classes.
        loader: how to read; several workers pay off.
    """

    name = "imagenet"
    summary = "ImageNet ILSVRC 2012, 3x224x224 photographs, 1000 classes, 1281167 train / 50000 test"
    options_type: ClassVar[type] = ImageNetOptions

    def __init__(self, options: ImageNetOptions, loader: LoaderConfig) -> None:
        super().__init__(loader)
        self.options = options
        self.image_shape = (3, options.image_size, options.image_size)
        self._files: dict[Split, list[tuple[str, int]]] = {}

    @property
    def folder(self) -> Path:
        """Folder with meta.bin, train and val."""
        return self.root / self.options.path

    def prepare_data(self) -> None:
        """Unpack official archives that are not unpacked yet (once, not in every process)."""
        for split, name in FOLDERS.items():
            if (self.folder / name).is_dir():
                continue
            if self.options.classes is not None and not (self.folder / ARCHIVE_META[name][0]).is_file():
                raise missing_data(f"there is no folder {name} of ImageNet", self.folder, LAYOUT)
            self._read(split)

    def _open(self) -> None:
        if self.options.classes is not None:
            source = self._class_file(self.options.classes)
            self._classes = read_class_list(source)
            for split, name in FOLDERS.items():
                self._files[split] = list_part(self.folder / name, self._classes, source)
            return
        read = {split: self._read(split) for split in FOLDERS}
        if read["train"].wnids != read["test"].wnids:
            different = sorted(set(read["train"].wnids) ^ set(read["test"].wnids))
            raise DataError(
                f"train and val of {self.folder} hold different classes, so their labels do not agree:"
                f" {', '.join(different[:5])} ({len(different)} in all). Where they hold a part of the"
                " classes each, name all classes in a file by the option classes"
            )
        self._classes = tuple(", ".join(names) for names in read["train"].classes)
        self._files = {split: data.samples for split, data in read.items()}

    def _samples(self, split: Split, *, training: bool) -> FileSamples:
        chosen = self.options
        size, resize_size = chosen.image_size, chosen.resize_size
        prepare = random_resized_crop(size) if training else resize_and_crop(resize_size, size)
        scaling = pixel_scaling(chosen.mean, chosen.std)
        return FileSamples(self.folder, self._files[split], 3, prepare, scaling)

    def _class_file(self, classes: str) -> Path:
        """The list of classes: below the data set's own folder, or else below the data root."""
        inside = self.folder / classes
        return inside if inside.is_file() or not (self.root / classes).is_file() else self.root / classes

    def _read(self, split: Split) -> datasets.ImageNet:
        known = self._check_meta()
        try:
            return datasets.ImageNet(self.folder, split=FOLDERS[split])
        except KeyError as error:
            raise DataError(
                f"{self.folder / FOLDERS[split]} holds the folder {error}, which is none of the {known}"
                f" classes of {META_FILE}; move it away, or name all classes in a file by the option classes"
            ) from error
        except (RuntimeError, OSError) as error:
            said = (str(error) or type(error).__name__).splitlines()[0]
            problem = f"the {FOLDERS[split]} part of ImageNet cannot be read ({said}{self._damaged(said)})"
            raise missing_data(problem, self.folder, LAYOUT) from error

    def _check_meta(self) -> int:
        """Number of classes in torchvision's meta file; 0 where it is still to be written."""
        file = self.folder / META_FILE
        if not file.is_file():
            return 0
        try:
            words, of_images = torch.load(file, weights_only=True)
            if not all(isinstance(wnid, str) for wnid in [*words, *of_images]):
                raise TypeError("other values than names")
            return len({wnid: ", ".join(names) for wnid, names in words.items()})
        except Exception as error:  # damaged bytes make the unpickler raise anything
            raise DataError(
                f"{file} ({file.stat().st_size} bytes) is truncated or damaged, or is not the file of class"
                f" names that torchvision writes. Delete it and put {ARCHIVE_META['devkit'][0]} beside it:"
                " it is written anew from that. Or name the classes in a file by the option classes"
            ) from error

    def _damaged(self, said: str) -> str:
        """What torchvision leaves open: whether the archive that it misses is there."""
        names = [name for name, _ in ARCHIVE_META.values() if name in said]
        damaged = any((self.folder / name).is_file() for name in names)
        return "; it is there, so it is truncated or damaged: download it again" if damaged else ""
