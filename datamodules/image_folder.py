"""Any classification data set that is sorted into one folder per class.

    ROOT/PATH/train/CLASS/*.png
    ROOT/PATH/test/CLASS/*.png      or val/ where there is no test/

Class names are the folder names, labels their alphabetical order; both splits must have the same.
Images are resized so that the shorter side is ``image_size`` and cut to a centred square.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torchvision.datasets.folder import find_classes
from torchvision.transforms import v2

from datamodules.base import ClassificationData, LoaderConfig, Split
from datamodules.class_folders import list_images
from datamodules.errors import DataError, missing_data
from datamodules.imagenet import MEAN, STD
from datamodules.options import check_channels, check_flag, check_integer, check_relative_path
from datamodules.samples import FileSamples
from datamodules.transforms import CropFlip, pixel_scaling, resize_and_crop

LAYOUT = """
DATA_ROOT/
  PATH/                  (option path)
    train/CLASS/*.png    (or .jpg, .jpeg, .ppm, .bmp, .pgm, .tif, .tiff, .webp)
    test/CLASS/*.png     (or val/CLASS/*.png)
"""


@dataclass(frozen=True)
class ImageFolderOptions:
    """Options of `ImageFolder`."""

    path: str  # relative to the data root
    image_size: int  # height and width in pixels
    mean: tuple[float, ...] = MEAN  # per channel, pixels in [0, 1]; one number makes images grey
    std: tuple[float, ...] = STD
    augment: bool = True  # crop after padding by an eighth of the size, and flip
    in_memory: bool = False  # decode training images once; takes their pixels in bytes of memory

    def __post_init__(self) -> None:
        check_relative_path("path", self.path)
        check_integer("image_size", self.image_size, 1)
        check_channels(self.mean, self.std)
        check_flag("augment", self.augment)
        check_flag("in_memory", self.in_memory)


class ImageFolder(ClassificationData):
    """Images [C, image_size, image_size] from one folder per class.

    Args:
        options: folder, size, pixel scaling, augmentation.
        loader: how to read.
    """

    name = "image_folder"
    summary = "any PATH/train/CLASS/* and PATH/test/CLASS/* (or val) under the data root"
    options_type: ClassVar[type] = ImageFolderOptions

    def __init__(self, options: ImageFolderOptions, loader: LoaderConfig) -> None:
        super().__init__(loader)
        self.options = options
        self.image_shape = (len(options.mean), options.image_size, options.image_size)
        self._files: dict[Split, list[tuple[str, int]]] = {}

    @property
    def folder(self) -> Path:
        """Folder with train and test (or val)."""
        return self.root / self.options.path

    def _open(self) -> None:
        folders: dict[Split, Path] = {
            "train": self._split_folder("train"),
            "test": self._split_folder("test", "val"),
        }
        if folders["train"].resolve() == folders["test"].resolve():
            raise DataError(f"train and {folders['test'].name} of {self.folder} are the same folder")
        classes = {split: self._find_classes(folder) for split, folder in folders.items()}
        if classes["train"] != classes["test"]:
            train, test = set(classes["train"]), set(classes["test"])
            raise DataError(
                f"the splits of {self.folder} have different classes:"
                f" only in train: {', '.join(sorted(train - test)) or 'none'};"
                f" only in {folders['test'].name}: {', '.join(sorted(test - train)) or 'none'}"
            )
        labels = {name: label for label, name in enumerate(classes["train"])}
        self._files = {split: list_images(folder, labels) for split, folder in folders.items()}
        self._classes = tuple(labels)

    def _samples(self, split: Split, *, training: bool) -> FileSamples:
        options = self.options
        scaling = pixel_scaling(options.mean, options.std)
        augmented = v2.Compose([CropFlip(options.image_size // 8), scaling])
        return FileSamples(
            self.folder,
            self._files[split],
            channels=len(options.mean),
            prepare=resize_and_crop(options.image_size, options.image_size),
            transform=augmented if training and options.augment else scaling,
            in_memory=training and options.in_memory,
        )

    def _split_folder(self, *names: str) -> Path:
        for name in names:
            if (self.folder / name).is_dir():
                return self.folder / name
        raise missing_data(f"no folder {' or '.join(names)} for {self.name!r}", self.folder, LAYOUT)

    def _find_classes(self, folder: Path) -> list[str]:
        try:
            found: list[str] = find_classes(folder)[0]
            return found
        except FileNotFoundError as error:
            raise missing_data(f"no class folders in {folder.name}", folder, LAYOUT) from error
