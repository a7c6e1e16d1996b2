"""Mean intersection over union of a resampled test set, from counts of pixels.

A record keeps, of each image and class, how many pixels were rightly found and how many were found; and once
for all read-outs, how many there are. Label maps themselves are not needed: the intersection and the
union of any collection of images are sums of these counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from leaderboard.scores.base import Encoding, FloatArray, IntArray
from leaderboard.scores.packing import counts, pack, unpack


@dataclass(frozen=True)
class MeanOverlap:
    """Mean over classes of intersection over union, both pooled over the images of a test set."""

    correct: IntArray  # [N, K], pixels of a class that were found as it
    found: IntArray  # [N, K], pixels found as a class
    true: IntArray  # [N, K], pixels of a class
    right: ClassVar[None] = None  # no share of images

    @property
    def count(self) -> int:
        """Number of test images N."""
        return len(self.true)

    @property
    def work(self) -> int:
        """Table entries that one test set takes to score."""
        return 3 * self.true.size

    def score(self, weights: IntArray) -> FloatArray:
        """Mean overlap of weighted counts [R], from how often each image is drawn [R, N].

        A class counts in a resampled test set if a pixel of it was drawn.
        """
        correct, found, true = (_weighted(weights, part) for part in (self.correct, self.found, self.true))
        union = found + true - correct
        overlap = np.divide(correct, union, out=np.zeros_like(union), where=union > 0)
        present = true > 0
        sums, counted = (overlap * present).sum(1), present.sum(1)
        mean: FloatArray = np.divide(sums, counted, out=np.zeros_like(sums), where=counted > 0)
        return mean


def encode_true_pixels(true: npt.ArrayLike) -> str:
    """Pack what all read-outs of a record share: pixels of each image and class [N, K]."""
    return pack(true=np.asarray(true, np.uint32))


def encode_found_pixels(correct: npt.ArrayLike, found: npt.ArrayLike) -> str:
    """Pack one read-out: of each image and class [N, K], pixels rightly found, and pixels found."""
    return pack(correct=np.asarray(correct, np.uint32), found=np.asarray(found, np.uint32))


def mean_overlap(common: str | None, text: str, count: int) -> MeanOverlap:
    """Decode what a record keeps of one read-out.

    Args:
        common: from `encode_true_pixels`.
        text: from `encode_found_pixels`.
        count: number of test images.

    Raises:
        ValueError: a text is damaged, or counts do not fit each other.
    """
    arrays: Mapping[str, npt.NDArray[Any]] = {
        **unpack(common or "", "pixel counts"),
        **unpack(text, "pixel counts"),
    }
    try:
        named = {name: arrays[name] for name in ("correct", "found", "true")}
    except KeyError as error:
        raise ValueError(f"pixel counts lack {error}") from error
    parts = [counts(array, f"{name} pixels", 2) for name, array in named.items()]
    correct, found, true = parts
    if {part.shape for part in parts} != {true.shape} or true.ndim != 2 or len(true) != count:
        shapes = ", ".join(str(list(part.shape)) for part in parts)
        raise ValueError(f"pixel counts of {count} images asked for, found shapes {shapes}")
    if (correct > np.minimum(found, true)).any() or (found.sum(1) > true.sum(1)).any():
        raise ValueError("pixel counts contradict each other: more pixels found than there are")
    return MeanOverlap(correct, found, true)


def _weighted(weights: IntArray, counts: IntArray) -> FloatArray:
    # Exact, as sums of pixels stay far below 2**53; and float64 products are fast.
    total: FloatArray = weights.astype(np.float64) @ counts.astype(np.float64)
    return total


ENCODING = Encoding("pixels-npz-base64", decode=mean_overlap)
