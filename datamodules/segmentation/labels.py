"""Label maps: one class per pixel, read from files that store ids.

Stored ids and training classes differ in most data sets; `LabelIds` is the table between them. In label
maps here, class k is the number k, and `IGNORE` marks pixels that are neither trained on nor scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from datamodules.errors import DataError
from datamodules.images import WHITE_8, check_image, check_whole, opened, stored_size

KIND = "label file"
IGNORE = 255
_UNKNOWN = 254
_PALETTE = (
    "is a palette image, and its indices need not be ids; give the file that stores ids"
    " (for Cityscapes *_gtFine_labelIds.png, not *_gtFine_color.png)"
)
_COLOURS = "holds colours (mode {mode}), one id per pixel is needed; give the file that stores ids"


@dataclass(frozen=True)
class LabelledImage:
    """Files of one image; relative and imaginary for images in memory."""

    image: Path
    label: Path


@dataclass(frozen=True)
class LabelIds:
    """Stored ids and the classes they stand for.

    Attributes:
        classes: stored id -> class, or `IGNORE`; ids that are not named are errors.
        palette: the ids are the indices of a palette image, as in Pascal VOC.
    """

    classes: Mapping[int, int]
    palette: bool = False

    def read(self, path: Path) -> Tensor:
        """Return the label map of a file: uint8 [H, W], classes and `IGNORE`.

        Raises:
            DataError: the file is missing or does not decode, holds colours or an unexpected palette, or
                an id that does not exist; it is named.
        """
        return torch.from_numpy(self._mapped(_pixels(path, self.palette), path))

    def _mapped(self, ids: npt.NDArray[np.uint8], path: Path) -> npt.NDArray[np.uint8]:
        table = np.full(256, _UNKNOWN, dtype=np.uint8)
        table[list(self.classes)] = list(self.classes.values())
        mapped = table[ids]
        if (mapped == _UNKNOWN).any():
            unknown = sorted({int(one) for one in np.unique(ids[mapped == _UNKNOWN])})
            known = sorted(self.classes)
            raise DataError(
                f"{path} holds the id(s) {', '.join(map(str, unknown[:5]))}, which do not exist; ids go from"
                f" {known[0]} to {max(one for one in known if one != IGNORE)}"
                f"{f', and {IGNORE} for unlabelled' if IGNORE in self.classes else ''}"
            )
        result: npt.NDArray[np.uint8] = mapped
        return result


def _pixels(path: Path, palette: bool) -> npt.NDArray[np.uint8]:
    with opened(path, KIND) as image:
        _check_mode(image.mode, palette, path)
        stretch = _stretch(image, path)
        pixels = np.array(image)
    if pixels.min() < 0 or pixels.max() > 255:  # of 16 bit; eight hold every id
        raise DataError(f"{path} holds ids from {pixels.min()} to {pixels.max()}, which do not exist")
    ids: npt.NDArray[np.uint8] = pixels.astype(np.uint8) // stretch
    return ids


def _stretch(image: Image.Image, path: Path) -> int:
    """What PIL multiplies greys of 2 or 4 bits by, so that they reach 255; an id must not be multiplied."""
    for tile in getattr(image, "tile", []):
        stored = tile.args if isinstance(tile.args, str) else str((tile.args or ("",))[0])
        if stored.endswith(";I"):
            raise DataError(
                f"{path} says that 0 is white, so its ids would come out inverted; store it as PNG"
            )
        if stored in ("L;2", "L;4"):
            return int(WHITE_8 // (2 ** int(stored[-1]) - 1))
    return 1


def _check_mode(mode: str, palette: bool, path: Path) -> None:
    if mode == "P" and not palette:
        raise DataError(f"{path} {_PALETTE}")
    if mode == "F":
        raise DataError(f"{path} holds floating-point numbers, and ids are whole; store them with 8 bits")
    if mode not in ("1", "L", "P") and not mode.startswith("I"):
        raise DataError(f"{path} {_COLOURS.format(mode=mode)}")


def check_size(image: Tensor, labels: Tensor, files: LabelledImage) -> None:
    """Raise `DataError` unless an image [C, H, W] and its label map [H, W] have one size."""
    _check_sizes((image.shape[2], image.shape[1]), (labels.shape[1], labels.shape[0]), files)


def _check_sizes(image: tuple[int, int], label: tuple[int, int], files: LabelledImage) -> None:
    if image != label:
        raise DataError(
            f"{files.label} has {label[0]}x{label[1]} pixels, its image {files.image} has"
            f" {image[0]}x{image[1]}; a label map needs the size of its image"
        )


def check_files(pairs: list[LabelledImage], ids: LabelIds) -> None:
    """Look at the headers and ends of all files, so that a wrong one is found before hours of work.

    Args:
        pairs: files of a split.
        ids: how its label files are read.

    Raises:
        DataError: an image has no label file, or one that holds colours, an unexpected palette or another
            number of pixels; or a file is no image, or truncated. Names the first; counts label files that
            are missing.
    """
    absent = [pair for pair in pairs if not pair.label.is_file()]
    if absent:
        more = f" ({len(absent)} of {len(pairs)} images have none)" if len(absent) > 1 else ""
        raise DataError(
            f"there is no label file {absent[0].label} for the image {absent[0].image.name}{more}"
        )
    for pair in pairs:
        with opened(pair.label, KIND) as label:
            _check_mode(label.mode, ids.palette, pair.label)
            _check_sizes(stored_size(pair.image), label.size, pair)
        check_image(pair.image)
        check_whole(pair.label, KIND)
