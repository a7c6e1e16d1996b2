"""Metrics that are a share of images, and what records keep of them: right or wrong, a bit an image.

Eight images a byte, base64 so that JSON can carry them.

Ten thousand test images take 1.7 kB a read-out. The order of the images is the order of the test
set, so two records over the same test set can be compared image by image.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from leaderboard.scores.base import BoolArray, Encoding, FloatArray, IntArray


@dataclass(frozen=True)
class Proportion:
    """The share of images that are right."""

    right: BoolArray  # [N]

    @property
    def count(self) -> int:
        """Number of test images N."""
        return self.right.size

    @property
    def work(self) -> int:
        """Table entries that one test set takes to score."""
        return self.right.size

    def score(self, weights: IntArray) -> FloatArray:
        """Weighted mean; see `ImageScores`."""
        total: FloatArray = weights @ self.right / weights.sum(1)
        return total


def encode_outcomes(outcomes: npt.ArrayLike) -> str:
    """Pack yes/no outcomes into text.

    Args:
        outcomes: [N] of bool or 0/1, one per test image in test order.

    Returns:
        base64 of `numpy.packbits(outcomes)`; the last byte is padded with zeros.

    Raises:
        ValueError: not one-dimensional, or a value other than 0 and 1.
    """
    values = np.asarray(outcomes)
    if values.ndim != 1:
        raise ValueError(f"outcomes must have shape [N], got {list(values.shape)}")
    if values.dtype != np.bool_ and not np.isin(values, (0, 1)).all():
        raise ValueError("outcomes must be 0 or 1 (wrong or right), got other values")
    return base64.b64encode(np.packbits(values.astype(np.bool_)).tobytes()).decode("ascii")


@lru_cache(maxsize=1024)  # boards compare all pairs of rows; ten thousand images take 10 kB
def decode_outcomes(text: str, count: int) -> BoolArray:
    """Unpack what `encode_outcomes` packed.

    Args:
        text: base64 text from a record.
        count: number of test images N.

    Returns:
        Outcomes [N], bool, in test order.

    Raises:
        ValueError: not base64, or not as many bytes as `count` images need.
    """
    packed = np.frombuffer(_packed(text, count), dtype=np.uint8)
    outcomes = np.unpackbits(packed, count=count).view(np.bool_)
    outcomes.flags.writeable = False  # others are given the same array
    return outcomes


def share_of(text: str, count: int) -> float:
    """Mean of what `encode_outcomes` packed, counted without unpacking it.

    Args:
        text: base64 text from a record.
        count: number of test images N, at least 1.

    Raises:
        ValueError: as `decode_outcomes`.
    """
    bits = int.from_bytes(_packed(text, count), "big") >> -count % 8  # without the padding
    return bits.bit_count() / count


def _packed(text: str, count: int) -> bytes:
    try:
        packed = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"outcomes are not base64: {error}") from error
    expected = (count + 7) // 8
    if count < 0 or len(packed) != expected:
        raise ValueError(f"outcomes of {count} images need {max(expected, 0)} bytes, got {len(packed)}")
    return packed


ENCODING = Encoding(
    "packbits-base64",
    decode=lambda _, text, count: Proportion(decode_outcomes(text, count)),
    metric=lambda _, text, count: share_of(text, count),
    is_share=True,
)
