"""Outcomes of a read-out as the record has them, unpacked only where something is computed from them.

A page compares the same read-outs again and again, at every limit of time steps. Unpacking thousands of
detections for each comparison took longer than comparing; kept unpacked, they would fill the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from leaderboard.scores.base import FloatArray, ImageScores, IntArray
from leaderboard.scores.encodings import by_name, decoded


@dataclass(frozen=True)
class PackedScores:
    """`ImageScores` that unpacks itself; equal where the record's texts are."""

    encoding: str
    common: str | None
    text: str
    count: int
    right: ClassVar[None] = None  # shares of images are not packed

    def unpacked(self) -> ImageScores:
        """What the texts hold.

        Raises:
            ValueError: they are damaged.
        """
        return decoded(self.encoding, self.common, self.text, self.count)

    @property
    def work(self) -> int:
        """Table entries that one test set takes to score."""
        return self.unpacked().work

    def score(self, weights: IntArray) -> FloatArray:
        """The metric [R] of R test sets; see `ImageScores`."""
        return self.unpacked().score(weights)


def scores_of(encoding: str, common: str | None, text: str, count: int) -> ImageScores:
    """What a record keeps of one read-out: a share of images at once, other outcomes packed.

    Arguments and errors are those of `encodings.decoded`; packed texts show their damage when they are
    unpacked.
    """
    if by_name(encoding).is_share:
        return decoded(encoding, common, text, count)
    return PackedScores(encoding, common, text, count)
