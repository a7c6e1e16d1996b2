"""Pascal VOC, and any data set in its layout.

    ROOT/PATH/VOCdevkit/VOC2007/{Annotations, ImageSets/Main, JPEGImages}
    ROOT/PATH/VOCdevkit/VOC2012/...

Classes are those that occur in the training annotations, in alphabetical order (which is VOC's own
order), so that other class lists work without being declared.

VOC counts pixels from 1 and includes the last one: a box (xmin, ymin, xmax, ymax) covers xmax - xmin
+ 1 columns. Here it becomes (xmin - 1, ymin - 1, xmax, ymax), which has the same overlaps. Objects
marked `difficult` are not scored, and not trained on unless asked for. Boxes of parts are not read.

Source: Everingham et al. 2010, The Pascal Visual Object Classes Challenge, doi:10.1007/s11263-009-0275-4.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from datamodules.base import LoaderConfig, Split
from datamodules.detection.annotations import AnnotatedImage, BoxChecks, check_objects
from datamodules.detection.base import DetectionData, DetectionOptions
from datamodules.detection.samples import DetectionReader, check_headers
from datamodules.errors import DataError, missing_data
from datamodules.image_lists import listed_names
from datamodules.options import check_flag, check_relative_path

LAYOUT = """
DATA_ROOT/
  PATH/                         (option path; empty: the data root itself)
    VOCdevkit/VOC2012/          (or VOC2007)
      Annotations/*.xml
      ImageSets/Main/{train,val,trainval,test}.txt
      JPEGImages/*.jpg
"""
# year -> split -> (year of the folder, image set). The test annotations of 2012 are not public.
SPLITS: dict[str, dict[Split, tuple[tuple[str, str], ...]]] = {
    "2007": {"train": (("2007", "trainval"),), "test": (("2007", "test"),)},
    "2012": {"train": (("2012", "train"),), "test": (("2012", "val"),)},
    "07+12": {"train": (("2007", "trainval"), ("2012", "trainval")), "test": (("2007", "test"),)},
}
FLAGS = {"0": False, "1": True, "false": False, "true": True}


@dataclass(frozen=True)
class VocOptions(DetectionOptions):
    """Options of `Voc`."""

    path: str = ""  # relative to the data root
    year: str = "2012"  # "2007", "2012" or "07+12"
    train_difficult: bool = False  # train on objects marked difficult
    in_memory: bool = False  # decode each training image once; takes their pixels in bytes of memory

    def __post_init__(self) -> None:
        super().__post_init__()
        check_relative_path("path", self.path, empty=True)
        if self.year not in SPLITS:
            raise DataError(f"year must be one of {', '.join(map(repr, SPLITS))}, got {self.year!r}")
        check_flag("train_difficult", self.train_difficult)
        check_flag("in_memory", self.in_memory)


@dataclass(frozen=True)
class _Parsed:
    """One annotation file."""

    file: Path
    image: Path
    size: tuple[int, int]
    names: list[str]
    boxes: list[list[float]]
    difficult: list[bool]


class Voc(DetectionData):
    """Pascal VOC 2007, 2012 or 07+12, or a data set in its layout.

    Args:
        options: folder, year, input size, augmentation.
        loader: how to read.
    """

    name = "voc"
    summary = "Pascal VOC 2007, 2012 or 07+12, or any data set in its layout, scored by VOC's rules"
    options_type: ClassVar[type] = VocOptions
    scoring: ClassVar[str] = "voc"
    options: VocOptions

    def __init__(self, options: VocOptions, loader: LoaderConfig) -> None:
        super().__init__(options, loader)
        self._images: dict[Split, list[AnnotatedImage]] = {}
        self._readers: dict[Split, DetectionReader] = {}

    @property
    def folder(self) -> Path:
        """Folder with VOCdevkit."""
        return self.root / self.options.path

    def _open(self) -> None:
        parsed: dict[Split, list[_Parsed]] = {
            split: [one for part in parts for one in self._parse(*part)]
            for split, parts in SPLITS[self.options.year].items()
        }
        classes = sorted({name for one in parsed["train"] for name in one.names})
        if not classes:
            raise DataError(f"no training image of {self.folder} has an object")
        labels = {name: label for label, name in enumerate(classes)}
        checks = BoxChecks(f"data set {self.name!r} in {self.folder}")
        for split, files in parsed.items():
            self._images[split] = [_checked(one, labels, checks) for one in files]
            check_objects(self._images[split], f"{split} images of {self.folder}")
            kept = self.options.in_memory and split == "train"
            self._readers[split] = DetectionReader(self._images[split], kept)
        check_headers(self._images["test"])
        checks.report()
        self._classes = tuple(classes)

    def _annotated(self, split: Split) -> tuple[Sequence[AnnotatedImage], Callable[[int], Tensor]]:
        return self._images[split], self._readers[split]

    def _parse(self, year: str, image_set: str) -> list[_Parsed]:
        base = self.folder / "VOCdevkit" / f"VOC{year}"
        names, images = base / "ImageSets" / "Main" / f"{image_set}.txt", base / "JPEGImages"
        try:
            listed = listed_names(names, images)
        except (OSError, UnicodeDecodeError) as error:
            problem = f"no {image_set} images of VOC{year} ({error})"
            raise missing_data(problem, self.folder, LAYOUT) from error
        if not listed:
            raise DataError(f"{names} names no image")
        return [_read(base / "Annotations" / f"{name}.xml", images / f"{name}.jpg") for name in listed]


def _read(file: Path, image: Path) -> _Parsed:
    try:
        root = ElementTree.parse(file).getroot()
    except FileNotFoundError as error:
        raise DataError(f"there is no annotation file {file} for the image {image.name}") from error
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:  # the last two: encodings
        raise DataError(f"cannot read the annotation file {file}: {error}") from error
    if not image.is_file():
        raise DataError(f"{file} annotates {image}, which does not exist")
    size = tuple(_pixels(root, f"size/{side}", file) for side in ("width", "height"))
    found = root.findall("object")
    boxes = [[_number(one, f"bndbox/{k}", file) for k in ("xmin", "ymin", "xmax", "ymax")] for one in found]
    return _Parsed(
        file=file,
        image=image,
        size=(size[0], size[1]),
        names=[_text(one, "name", file) for one in found],
        boxes=boxes,
        difficult=[_flag(one, "difficult", file) for one in found],
    )


def _text(element: ElementTree.Element, path: str, file: Path) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise DataError(f"{file}: <{element.tag}> has no <{path}>")
    return text


def _number(element: ElementTree.Element, path: str, file: Path) -> float:
    text = _text(element, path, file)
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{file}: <{path}> must be a number, got {text!r}") from None


def _flag(element: ElementTree.Element, path: str, file: Path) -> bool:
    """A mark that older files leave out where it is not set."""
    if element.find(path) is None:
        return False
    text = (element.findtext(path) or "").strip()
    if text.lower() not in FLAGS:
        raise DataError(f"{file}: <{path}> must be 0 or 1, got {text!r}")
    return FLAGS[text.lower()]


def _pixels(element: ElementTree.Element, path: str, file: Path) -> int:
    number = _number(element, path, file)
    if not 1 <= number < math.inf:
        raise DataError(f"{file}: <{path}> must be at least 1 pixel, got {number}")
    return round(number)


def _checked(one: _Parsed, labels: dict[str, int], checks: BoxChecks) -> AnnotatedImage:
    if unknown := [name for name in one.names if name not in labels]:
        raise DataError(
            f"{one.file} has an object of class {unknown[0]!r}, which no training image has;"
            f" known: {', '.join(labels)}"
        )
    return checks.image(
        one.image,
        one.size,
        [[x1 - 1, y1 - 1, x2, y2] for x1, y1, x2, y2 in one.boxes],
        [labels[name] for name in one.names],
        difficult=one.difficult,
        degenerate=[x2 <= x1 or y2 <= y1 for x1, y1, x2, y2 in one.boxes],
        named=one.file.name,
    )
