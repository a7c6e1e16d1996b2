"""Arrays as text, for records: a compressed numpy archive in base64."""

from __future__ import annotations

import base64
import io
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

LARGEST = 256 * 2**20  # bytes unpacked; the outcomes of a large test set take a few million
MOST_COUNTS = LARGEST // 8  # of one array, where each takes eight bytes


def pack(**arrays: Any) -> str:
    """Pack arrays by name; numbers and texts become arrays without dimensions."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def unpack(text: str, what: str) -> dict[str, npt.NDArray[Any]]:
    """Return what was packed.

    Args:
        text: from `pack`.
        what: it holds, for the message.

    Raises:
        ValueError: the text is damaged, or would unpack to more than `LARGEST`.
    """
    try:
        raw = io.BytesIO(base64.b64decode(text, validate=True))
        with zipfile.ZipFile(raw) as archive:  # which never gives more than these sizes say
            size = sum(entry.file_size for entry in archive.infolist())
        if size > LARGEST:
            raise ValueError(f"it would take {size / 2**20:.0f} MiB")
        raw.seek(0)
        with np.load(raw, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # damaged bytes make the readers of both formats raise anything
        raise ValueError(f"{what} cannot be unpacked: {error}") from error


def counts(array: npt.NDArray[Any], what: str, dimensions: int) -> npt.NDArray[np.int64]:
    """Unpacked whole numbers that are not negative.

    Raises:
        ValueError: other numbers, another number of dimensions, or more than `MOST_COUNTS`.
    """
    if array.dtype.kind not in "ui" or array.ndim != dimensions or (array.size and array.min() < 0):
        raise ValueError(
            f"{what} should be counts with {dimensions} dimension(s), got {array.dtype} {array.shape}"
        )
    if array.size > MOST_COUNTS:
        raise ValueError(f"{what} are {array.size} counts, more than {MOST_COUNTS}")
    return array.astype(np.int64)
