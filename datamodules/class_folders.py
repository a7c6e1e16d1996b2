"""Images sorted into one folder a class, and lists that say which label each folder has.

A list is a text file with a folder's name a line, in the order of the labels. With it, a split may hold a
part of the classes and keep the labels of all of them: the labels that a trained network knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from datamodules.errors import DataError
from datamodules.image_lists import is_inside

SHOWN = 5  # folders in a message


def list_images(folder: Path, labels: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return (path, label) of the images below the folders of some classes, sorted.

    Args:
        folder: of the split.
        labels: label of each class that has a folder there.

    Raises:
        DataError: a class's folder holds no image.
    """
    files: list[tuple[str, int]] = make_dataset(
        str(folder), dict(labels), extensions=IMG_EXTENSIONS, allow_empty=True
    )
    filled = {label for _, label in files}
    if empty := [name for name, label in labels.items() if label not in filled]:
        raise DataError(
            f"no images in {', '.join(str(folder / name) for name in empty[:SHOWN])}"
            f" ({len(empty)} empty class(es)); accepted endings: {', '.join(IMG_EXTENSIONS)}"
        )
    return files


def list_part(folder: Path, names: tuple[str, ...], source: Path) -> list[tuple[str, int]]:
    """Return (path, label) of the images of a split that holds a part of the classes.

    Args:
        folder: of the split.
        names: all classes, in the order of the labels.
        source: the file that names them, for the message.

    Raises:
        DataError: a folder of the split is not among the classes, or holds no image; or there is no folder.
    """
    labels = {name: label for label, name in enumerate(names)}
    try:
        present = find_classes(folder)[0]
    except FileNotFoundError:
        raise DataError(f"{folder} holds no class folder; {source} names {len(names)} of them") from None
    if unknown := [name for name in present if name not in labels]:
        raise DataError(
            f"{folder} holds {len(unknown)} folder(s) that {source} does not name:"
            f" {', '.join(unknown[:SHOWN])}; add them to the list, or move them away"
        )
    return list_images(folder, {name: labels[name] for name in present})


def read_class_list(file: Path) -> tuple[str, ...]:
    """Read the names of class folders, one a line, in the order of the labels.

    Raises:
        DataError: the file is missing or no text, names a folder twice, or has an empty line or something
            that is no folder's name; names file and line.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the list of classes {file}: {error}") from error
    places: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        name, place = line.strip(), f"{file}:{number}"
        if not name:
            raise DataError(f"{place} is empty; delete the line, because labels are counted by lines")
        if not is_inside(name) or "/" in name or "\\" in name:
            raise DataError(f"{place}: {name[:80]!r} is not the name of a class folder")
        if name in places:
            raise DataError(f"{place} names the class {name!r} again, after line {places[name]}")
        places[name] = number
    if not places:
        raise DataError(f"{file} names no class")
    return tuple(places)
