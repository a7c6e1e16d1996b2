"""Image files: opened, checked for truncation, and brought to 8 bits a channel without losing their depth.

Files may hold more than 8 bits. PIL's own `convert` cuts such values off at 255, so that a 16-bit photograph
comes out white and a floating-point one black. Here white stays white: 16 bits are divided by 257 and 12 bits
by 4095 / 255, and floating-point numbers must lie in [0, 1]. Where a file does not say which value is white,
it is refused.

Transparency is left out, as torchvision does: what counts is the colour that is stored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, TiffImagePlugin
from torchvision.transforms.v2 import functional as VF

from datamodules.errors import DataError

TAIL = 4096  # bytes in which the end marker is looked for; cameras write some more after it
END_MARKERS = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG": b"IEND"}  # by the first bytes of the file
WHITE_8, WHITE_16 = 255, 65535
SIXTEEN_BITS = ("PNG", "PPM")  # formats in which whole numbers beyond 8 bits are always 16 bits
BITS, PHOTOMETRIC = 258, 262  # TIFF tags: bits of a sample; which end of the range is white


@contextmanager
def opened(path: Path, kind: str = "image") -> Iterator[Image.Image]:
    """Open an image file; everything that goes wrong with it inside the block becomes one error.

    Args:
        path: of the file.
        kind: what the file is, for the message.

    Raises:
        DataError: the file is missing or does not decode; it is named.
    """
    try:
        with Image.open(path) as image:
            yield image
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"there is no {kind} {path}") from error
    # PIL reports damage in all of these ways, depending on the format.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot decode the {kind} {path}: {error}. Replace or delete the file.") from error


def read_image(path: Path, mode: str) -> Image.Image:
    """Decode an image file to 8 bits a channel.

    Args:
        path: of the file; any format and depth that PIL reads.
        mode: "RGB", or "L" for grey.

    Returns:
        The image in this mode.

    Raises:
        DataError: the file is missing, does not decode, or holds values whose white is not known; names it.
    """
    with opened(path) as image:
        return _eight_bits(image, path).convert(mode)


def stored_size(path: Path) -> tuple[int, int]:
    """Return the (width, height) that the header of an image file says.

    Raises:
        DataError: the file is missing or is no image.
    """
    with opened(path) as image:
        return image.size


def check_whole(path: Path, kind: str = "image") -> None:
    """Find truncated JPEG and PNG files without decoding the others: their formats have an end marker.

    Args:
        path: of the file.
        kind: what the file is, for the message.

    Raises:
        DataError: the file has no end marker and does not decode.
    """
    with opened(path, kind) as image:
        with path.open("rb") as stream:
            start = stream.read(4)
            stream.seek(-min(TAIL, path.stat().st_size), os.SEEK_END)
            tail = stream.read()
        if any(start.startswith(signature) and end not in tail for signature, end in END_MARKERS.items()):
            image.load()


def check_image(path: Path) -> None:
    """Find what `read_image` would refuse, as far as that needs no decoding of ordinary images.

    Raises:
        DataError: as `read_image`; damage in the middle of a file is not found.
    """
    check_whole(path)
    with opened(path) as image:
        if image.mode in ("F", "I"):
            _eight_bits(image, path)


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """The image with 8 bits a channel; unchanged where it has no more."""
    if image.mode == "F":
        return Image.fromarray(_from_unit(_values(image), path))
    if image.mode == "I" or image.mode.startswith("I;16"):
        return Image.fromarray(_from_whole(_values(image), _white(image), path))
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        return image.convert("RGBA")  # PIL warns of the direct way
    return image


def _values(image: Image.Image) -> npt.NDArray[Any]:
    """What is stored, [H, W], white above black: a TIFF may say that 0 is white, which PIL passes over."""
    values = np.asarray(image)
    if not _white_is_zero(image):
        return values
    white = 1 if image.mode == "F" else (_white(image) or WHITE_16)
    return white - values.astype(np.float64 if image.mode == "F" else np.int64)


def _from_unit(values: npt.NDArray[Any], path: Path) -> npt.NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())  # NaN where one of the values is
    if not 0 <= low <= high <= 1:
        raise DataError(
            f"{path} holds floating-point numbers from {low:g} to {high:g}, so it is not known which of them"
            " is white; scale them to [0, 1], or store the image with 8 or 16 bits"
        )
    pixels = VF.to_dtype(torch.from_numpy(values.astype(np.float64)), torch.uint8, scale=True)
    result: npt.NDArray[np.uint8] = pixels.numpy()
    return result


def _from_whole(values: npt.NDArray[Any], white: int | None, path: Path) -> npt.NDArray[np.uint8]:
    low, high = int(values.min()), int(values.max())
    unclear = white is None and 0 < high <= WHITE_8  # a dark image of 16 bits, or one of 8?
    white = white or WHITE_16
    if unclear or low < 0 or high > white:
        raise DataError(
            f"{path} holds whole numbers from {low} to {high} (mode I), so it is not known which of them is"
            " white; store the image with 8 or 16 bits"
        )
    return (values.astype(np.int64) * WHITE_8 // white).astype(np.uint8)


def _white(image: Image.Image) -> int | None:
    """The value that stands for white; None where the file does not say, as with 32 bits."""
    bits = _tag(image, BITS)
    if image.mode != "I" and isinstance(bits, tuple) and 8 < bits[0] < 16:
        return int(2 ** bits[0] - 1)
    return WHITE_16 if image.mode != "I" or image.format in SIXTEEN_BITS else None


def _white_is_zero(image: Image.Image) -> bool:
    return _tag(image, PHOTOMETRIC) == 0


def _tag(image: Image.Image, number: int) -> object:
    return image.tag_v2.get(number) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
