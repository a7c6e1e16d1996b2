"""COCO 2017, and any data set with COCO's annotation files.

    ROOT/PATH/train2017/*.jpg, ROOT/PATH/val2017/*.jpg
    ROOT/PATH/annotations/instances_train2017.json, instances_val2017.json

An image's `file_name` may have folders in it, relative to the folder of its split.

Files are read by torchvision's CocoDetection, after a check of what it would trip over or pass over.
Labels are the positions of the categories ordered by their official ids (which have gaps). Boxes
are [x, y, width, height] from the image's corner. Regions marked `iscrowd` are neither trained on
nor scored: a detection inside one does not count.

Source: Lin et al. 2014, Microsoft COCO, arXiv 1405.0312; format: cocodataset.org/#format-data.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from torch import Tensor
from torchvision.datasets import CocoDetection

from datamodules.base import LoaderConfig, Split
from datamodules.detection.annotations import AnnotatedImage, BoxChecks, check_objects
from datamodules.detection.base import DetectionData, DetectionOptions
from datamodules.detection.samples import DetectionReader, check_headers
from datamodules.errors import DataError, missing_data
from datamodules.image_lists import is_inside
from datamodules.options import check_relative_path

LAYOUT = """
DATA_ROOT/
  PATH/                                     (option path)
    train2017/*.jpg                         (option train)
    val2017/*.jpg                           (option test)
    annotations/instances_train2017.json
    annotations/instances_val2017.json
"""


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# What the fields hold that are read here; whichever an entry has.
_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "id": (_is_whole, "a whole number"),
    "image_id": (_is_whole, "a whole number"),
    "category_id": (_is_whole, "a whole number"),
    "file_name": (lambda value: isinstance(value, str), "text"),
    "name": (lambda value: isinstance(value, str), "text"),
    "width": (lambda value: _is_whole(value) and value > 0, "a whole number above 0"),
    "height": (lambda value: _is_whole(value) and value > 0, "a whole number above 0"),
    "bbox": (
        lambda value: isinstance(value, list) and len(value) == 4 and all(map(_is_number, value)),
        "4 numbers",
    ),
    "area": (_is_number, "a number"),
    "iscrowd": (lambda value: value in (0, 1), "0 or 1"),
}


@dataclass(frozen=True)
class CocoOptions(DetectionOptions):
    """Options of `Coco`."""

    path: str = "coco"  # relative to the data root
    train: str = "train2017"  # folder of images, and the end of the annotation file's name
    test: str = "val2017"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("path", "train", "test"):
            check_relative_path(name, getattr(self, name), empty=True)


class Coco(DetectionData):
    """COCO 2017, or a data set in its format.

    Args:
        options: folder, splits, input size, augmentation.
        loader: how to read.
    """

    name = "coco"
    summary = "COCO 2017 or any data set with COCO annotation files, scored by COCO's rules"
    options_type: ClassVar[type] = CocoOptions
    options: CocoOptions

    def __init__(self, options: CocoOptions, loader: LoaderConfig) -> None:
        super().__init__(options, loader)
        self._images: dict[Split, list[AnnotatedImage]] = {}

    @property
    def folder(self) -> Path:
        """Folder with images and annotations."""
        return self.root / self.options.path

    def _open(self) -> None:
        contents: dict[Split, tuple[Path, Path, dict[str, Any]]] = {}
        splits: tuple[tuple[Split, str], ...] = (("train", self.options.train), ("test", self.options.test))
        for split, part in splits:
            file = self.folder / "annotations" / f"instances_{part}.json"
            contents[split] = (file, self.folder / part, self._content(file, self.folder / part))
        categories = {split: category_names(content) for split, (_, _, content) in contents.items()}
        if categories["train"] != categories["test"]:
            files = " and ".join(str(file) for file, _, _ in contents.values())
            raise DataError(f"{files} name different categories; a detector needs one list for both")
        checks = BoxChecks(f"data set {self.name!r} in {self.folder}")
        for split, (file, images, content) in contents.items():
            self._images[split] = annotated_images(content, images, checks)
            _check_files(content, file, images)
            check_objects(self._images[split], str(file))
        check_headers(self._images["test"])
        checks.report()
        self._classes = tuple(categories["train"].values())

    def _annotated(self, split: Split) -> tuple[Sequence[AnnotatedImage], Callable[[int], Tensor]]:
        return self._images[split], DetectionReader(self._images[split])

    def _content(self, file: Path, images: Path) -> dict[str, Any]:
        if not file.is_file() or not images.is_dir():
            absent = file if not file.is_file() else images
            raise missing_data(f"there is no {absent.name}", absent.parent, LAYOUT)
        try:
            check_form(json.loads(file.read_bytes()), str(file))
        except DataError:
            raise
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file} is not JSON: {error}") from error
        with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress
            listed = CocoDetection(str(images), str(file))
        content: dict[str, Any] = listed.coco.dataset
        return content


def check_form(content: Any, source: str) -> None:
    """Check that an annotation file is complete and refers only to what it declares.

    Args:
        content: the parsed file.
        source: its name, for messages.

    Raises:
        DataError: a list is missing or empty, a field is missing or holds something else, or an annotation
            names an unknown image or category.
    """
    if not isinstance(content, Mapping):
        raise DataError(f"{source} holds a JSON {type(content).__name__}, not COCO annotations")
    needed = {
        "images": ("id", "file_name", "width", "height"),
        "categories": ("id", "name"),
        "annotations": ("id", "image_id", "category_id", "bbox"),
    }
    for name, fields in needed.items():
        entries = content.get(name)
        if not isinstance(entries, list) or (not entries and name != "annotations"):
            raise DataError(f"{source} has no list {name!r}, or an empty one")
        for entry in entries:
            absent = fields if not isinstance(entry, Mapping) else [f for f in fields if f not in entry]
            if absent:
                raise DataError(f"{source}: an entry of {name!r} lacks {absent[0]!r}: {str(entry)[:80]}")
            _check_values(entry, name, source)
            if name == "images" and not is_inside(entry["file_name"]):
                raise DataError(
                    f"{source}: file_name of 'images' entry {entry['id']!r} must name a file inside the"
                    f" folder of images, not absolute and without '..', got {entry['file_name'][:80]!r}"
                )
    known = {name: {entry["id"] for entry in content[name]} for name in ("images", "categories")}
    for name, ids in known.items():
        if len(ids) < len(content[name]):
            raise DataError(f"{source}: two entries of {name!r} have the same id")
    for entry in content["annotations"]:
        for name, key in (("images", "image_id"), ("categories", "category_id")):
            if entry[key] not in known[name]:
                raise DataError(
                    f"{source}: annotation {entry['id']} has {key} {entry[key]}, which is not among {name!r}"
                )


def _check_values(entry: Mapping[str, Any], name: str, source: str) -> None:
    for field, (fits, wanted) in _VALUES.items():
        if field in entry and not fits(entry[field]):
            got = repr(entry[field])[:80]
            raise DataError(
                f"{source}: {field} of {name!r} entry {entry['id']!r} must be {wanted}, got {got}"
            )


def category_names(content: Mapping[str, Any]) -> dict[int, str]:
    """Category id -> name, in the order of the ids; labels are positions in this order."""
    names = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
    return dict(sorted(names.items()))


def annotated_images(content: Mapping[str, Any], folder: Path, checks: BoxChecks) -> list[AnnotatedImage]:
    """Return the images of an annotation file by rising id, those without objects included.

    Args:
        content: the checked file.
        folder: of the images.
        checks: collects problems with boxes.
    """
    labels = {id_: label for label, id_ in enumerate(category_names(content))}
    by_image: dict[int, list[Mapping[str, Any]]] = {}
    for entry in content["annotations"]:
        by_image.setdefault(entry["image_id"], []).append(entry)
    images = []
    for image in sorted(content["images"], key=lambda one: int(one["id"])):
        objects = by_image.get(image["id"], [])
        images.append(
            checks.image(
                folder / image["file_name"],
                (int(image["width"]), int(image["height"])),
                [[x, y, x + w, y + h] for x, y, w, h in (one["bbox"] for one in objects)],
                [labels[one["category_id"]] for one in objects],
                areas=[one.get("area", one["bbox"][2] * one["bbox"][3]) for one in objects],
                crowd=[bool(one.get("iscrowd", 0)) for one in objects],
                named=image["file_name"],
            )
        )
    return images


def _check_files(content: Mapping[str, Any], file: Path, folder: Path) -> None:
    """Check that every image is there. Folders are listed once: a look at each file is slow over networks."""
    names = [PurePosixPath(image["file_name"]) for image in content["images"]]
    there = {parent: _listed(folder / parent) for parent in {name.parent for name in names}}
    if absent := [str(name) for name in names if name.name not in there[name.parent]]:
        hint = "; folders are separated by /" if "\\" in absent[0] else ""
        raise DataError(f"{file} names {len(absent)} image(s) that {folder} lacks, first {absent[0]}{hint}")


def _listed(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()
