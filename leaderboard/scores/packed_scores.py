"""Outcomes of a read-out as the record has them, unpacked only where something is computed from them.

A page compares the same read-outs again and again, at every limit of time steps. Unpacking thousands of
detections for each comparison took longer than comparing; kept unpacked, they would fill the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leaderboard.records.record import Outcomes
from leaderboard.scores.image_scores import FloatArray, ImageScores, image_scores
from leaderboard.scores.outcomes import ENCODING as PROPORTION


@dataclass(frozen=True)
class PackedScores:
    """`ImageScores` that unpacks itself; equal where the record's texts are."""

    encoding: str
    common: str | None
    text: str
    count: int

    def unpacked(self) -> ImageScores:
        """What the texts hold.

        Raises:
            ValueError: they are damaged.
        """
        fields: dict[str, Any] = {"encoding": self.encoding, "common": self.common, "count": self.count}
        return image_scores(Outcomes.model_construct(**fields), self.text)

    @property
    def work(self) -> int:
        """Table entries that one test set takes to score."""
        return self.unpacked().work

    def score(self, weights: npt.NDArray[np.int64]) -> FloatArray:
        """The metric [R] of R test sets; see `ImageScores`."""
        return self.unpacked().score(weights)


def scores_of(outcomes: Outcomes, text: str) -> ImageScores:
    """What a record keeps of one read-out: a proportion at once, other outcomes packed.

    Args:
        outcomes: of the record.
        text: `outcomes.ann`, or an entry of `outcomes.at`.

    Raises:
        ValueError: a proportion's text is damaged.
    """
    if outcomes.encoding == PROPORTION:
        return image_scores(outcomes, text)
    return PackedScores(outcomes.encoding, outcomes.common, text, outcomes.count)
