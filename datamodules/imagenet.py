"""ImageNet (ILSVRC 2012): 1.28 million training images, the 50000 validation images as test.

    ROOT/imagenet/meta.bin                  written by torchvision from the development kit
    ROOT/imagenet/train/n01440764/*.JPEG
    ROOT/imagenet/val/n01440764/*.JPEG

torchvision unpacks the official archives (ILSVRC2012_devkit_t12.tar.gz, ILSVRC2012_img_train.tar,
ILSVRC2012_img_val.tar) into that layout when they lie in the folder. They cannot be downloaded
without an account at image-net.org.

Source: Russakovsky et al. 2015, doi:10.1007/s11263-015-0816-y. Research use only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torchvision import datasets

from datamodules.base import ClassificationData, LoaderConfig, Split
from datamodules.errors import DataError, missing_data
from datamodules.options import check_integer, check_relative_path
from datamodules.samples import FileSamples
from datamodules.transforms import pixel_scaling, random_resized_crop, resize_and_crop

MEAN = (0.485, 0.456, 0.406)  # of training pixels in [0, 1]; what torchvision's weights expect
STD = (0.229, 0.224, 0.225)
FOLDERS: dict[Split, str] = {"train": "train", "test": "val"}
LAYOUT = """
DATA_ROOT/
  imagenet/                 (option path)
    meta.bin                (or ILSVRC2012_devkit_t12.tar.gz)
    train/n01440764/*.JPEG  (or ILSVRC2012_img_train.tar)
    val/n01440764/*.JPEG    (or ILSVRC2012_img_val.tar)
"""


@dataclass(frozen=True)
class ImageNetOptions:
    """Options of `ImageNet`."""

    path: str = "imagenet"  # relative to the data root
    image_size: int = 224  # height and width in pixels that the network sees
    resize_size: int = 256  # shorter side in pixels before the centre crop

    def __post_init__(self) -> None:
        check_relative_path("path", self.path)
        check_integer("image_size", self.image_size, 1)
        check_integer("resize_size", self.resize_size, self.image_size)


class ImageNet(ClassificationData):
    """ImageNet with the usual transforms: random resized crop and flip, resize and centre crop.

    Args:
        options: folder and sizes.
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
            if not (self.folder / name).is_dir():
                self._read(split)

    def _open(self) -> None:
        read = {split: self._read(split) for split in FOLDERS}
        if read["train"].wnids != read["test"].wnids:
            different = sorted(set(read["train"].wnids) ^ set(read["test"].wnids))
            raise DataError(
                f"train and val of {self.folder} hold different classes, so their labels do not agree:"
                f" {', '.join(different[:5])} ({len(different)} in all)"
            )
        self._classes = tuple(", ".join(names) for names in read["train"].classes)
        self._files = {split: data.samples for split, data in read.items()}

    def _samples(self, split: Split, *, training: bool) -> FileSamples:
        size, resize_size = self.options.image_size, self.options.resize_size
        prepare = random_resized_crop(size) if training else resize_and_crop(resize_size, size)
        return FileSamples(self.folder, self._files[split], 3, prepare, pixel_scaling(MEAN, STD))

    def _read(self, split: Split) -> datasets.ImageNet:
        try:
            return datasets.ImageNet(self.folder, split=FOLDERS[split])
        except (RuntimeError, OSError, KeyError) as error:  # KeyError: a class folder unknown to meta.bin
            problem = f"the {FOLDERS[split]} part of ImageNet cannot be read ({str(error).splitlines()[0]})"
            raise missing_data(problem, self.folder, LAYOUT) from error
