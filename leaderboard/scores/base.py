"""What every score is: a metric over a test set whose images may be drawn any number of times.

A confidence interval asks: what would the metric be, had other images been drawn? A metric that is a function
of images and how often each is drawn can answer it: a proportion of images is their weighted mean, an average
precision is computed anew from weighted hits and misses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class ImageScores(Protocol):
    """A metric over a test set whose images may be drawn any number of times."""

    @property
    def count(self) -> int:
        """Number of test images N."""

    @property
    def work(self) -> int:
        """Table entries that one test set takes to score."""

    @property
    def right(self) -> BoolArray | None:
        """Which images are right [N], where the metric is their share; None where it is no such share.

        Shares have faster and sharper intervals than resampling gives.
        """

    def score(self, weights: IntArray) -> FloatArray:
        """Return the metric [R] of R test sets, from how often each image is drawn in them [R, N]."""


@dataclass(frozen=True)
class Encoding:
    """How records keep, as text, what became of every test image. A file here has one as `ENCODING`.

    Attributes:
        name: what records call it, for good: a changed format is another encoding.
        decode: `common` (what all read-outs of a record share), the text of one read-out and the number of
            images N, to scores of N images. Raises ValueError where a text is damaged or does not fit N.
        metric: the same arguments to the metric of the test set, each image once; errors as for `decode`.
            None: decoding and scoring is fast enough.
        is_share: the metric is the share of images that are right, so that scores say which (`right`).
    """

    name: str
    decode: Callable[[str | None, str, int], ImageScores]
    metric: Callable[[str | None, str, int], float] | None = None
    is_share: bool = False


def of_all_images(scores: ImageScores) -> float:
    """The metric of the test set itself, each image once."""
    return float(scores.score(np.ones((1, scores.count), dtype=np.int64))[0])
