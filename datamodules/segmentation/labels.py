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

from datamodules.detection.samples import check_whole
from datamodules.errors import DataError

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
    try:
        with Image.open(path) as image:
            image.load()
            mode, pixels = image.mode, np.array(image)
    except FileNotFoundError as error:
        raise DataError(f"there is no label file {path}") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot decode the label file {path}: {error}. Replace or delete it.") from error
    if mode == "P" and not palette:
        raise DataError(f"{path} {_PALETTE}")
    if mode.startswith("I") and pixels.min() >= 0 and pixels.max() <= 255:  # 16 bit that 8 would hold
        pixels = pixels.astype(np.uint8)
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise DataError(f"{path} {_COLOURS.format(mode=mode)}")
    return pixels


def check_size(image: Tensor, labels: Tensor, files: LabelledImage) -> None:
    """Raise `DataError` unless an image [C, H, W] and its label map [H, W] have one size."""
    if image.shape[1:] != labels.shape:
        (height, width), (label_height, label_width) = image.shape[1:], labels.shape
        raise DataError(
            f"{files.label} has {label_width}x{label_height} pixels, its image {files.image} has"
            f" {width}x{height}; a label map needs the size of its image"
        )


def check_files(pairs: list[LabelledImage]) -> None:
    """Raise `DataError` where an image has no label file, or a file is truncated.

    Names the first; counts label files that are missing.
    """
    absent = [pair for pair in pairs if not pair.label.is_file()]
    if absent:
        more = f" ({len(absent)} of {len(pairs)} images have none)" if len(absent) > 1 else ""
        raise DataError(
            f"there is no label file {absent[0].label} for the image {absent[0].image.name}{more}"
        )
    for pair in pairs:
        check_whole(pair.image)
        check_whole(pair.label)
