"""Boxes of one image, and the checks that every source of boxes goes through.

Boxes are (x1, y1, x2, y2) in pixels of the stored image, continuous: a box over the whole image is
(0, 0, width, height). Sources that count pixels differently convert when they read.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datamodules.errors import DataError

FloatArray = npt.NDArray[np.float64]
NAMED_FILES = 3  # of those with a problem


class AnnotationWarning(UserWarning):
    """Boxes were dropped or clipped."""


@dataclass(frozen=True)
class AnnotatedImage:
    """One image and its objects."""

    path: Path  # of the image file; relative and imaginary for images in memory
    width: int
    height: int
    boxes: FloatArray  # [N, 4]: x1, y1, x2, y2
    labels: npt.NDArray[np.int64]  # [N]
    areas: FloatArray  # [N], what COCO sorts sizes by: of the mask, where there is one
    crowd: npt.NDArray[np.bool_]  # [N]: a region of many objects, which COCO does not score
    difficult: npt.NDArray[np.bool_]  # [N]: an object that VOC does not score

    def identity(self) -> bytes:
        """What fixes the annotation, for fingerprints."""
        arrays = (self.boxes, self.labels, self.areas, self.crowd, self.difficult)
        return b"|".join([f"{self.width}x{self.height}".encode(), *(a.tobytes() for a in arrays)])


@dataclass
class BoxChecks:
    """Drops boxes without area, clips boxes that leave their image, and says so once.

    Args:
        source: what is read, for the warning.
    """

    source: str
    _dropped: list[str] = field(default_factory=list)
    _clipped: list[str] = field(default_factory=list)

    def image(
        self,
        path: Path,
        size: tuple[int, int],
        boxes: Sequence[Sequence[float]],
        labels: Sequence[int],
        *,
        areas: Sequence[float] | None = None,
        crowd: Sequence[bool] | None = None,
        difficult: Sequence[bool] | None = None,
        degenerate: Sequence[bool] | None = None,
        named: str = "",
    ) -> AnnotatedImage:
        """Check the boxes of one image.

        Args:
            path: of the image.
            size: (width, height) in pixels.
            boxes: [N][4] as x1, y1, x2, y2.
            labels: [N].
            areas: [N]; the boxes' own where absent.
            crowd: [N]; none where absent.
            difficult: [N]; none where absent.
            degenerate: [N]; boxes that their source says are empty, beside those that visibly are.
            named: name of the annotation in the warning; the image's file name where empty.
        """
        count, (width, height) = len(boxes), size
        raw = np.asarray(boxes, dtype=np.float64).reshape(count, 4)
        whole = raw.clip(0, [width, height, width, height])
        sides = whole[:, 2:] - whole[:, :2]
        keep = np.isfinite(raw).all(1) & (sides > 0).all(1)
        if degenerate is not None:
            keep &= ~np.asarray(degenerate, dtype=bool)
        # Annotations round to pixels: what sticks out by less than one needs no word.
        cut = keep & (np.abs(whole - raw) > 1).any(1)
        self._dropped += [named or path.name] * int((~keep).sum())
        self._clipped += [named or path.name] * int(cut.sum())
        own = sides.prod(1)
        given = own if areas is None else np.asarray(areas, dtype=np.float64)
        return AnnotatedImage(
            path=path,
            width=width,
            height=height,
            boxes=whole[keep],
            labels=np.asarray(labels, dtype=np.int64)[keep],
            areas=given[keep],
            crowd=_flags(crowd, count)[keep],
            difficult=_flags(difficult, count)[keep],
        )

    def report(self) -> None:
        """Warn once of each kind of problem that was met."""
        for files, problem in (
            (self._dropped, "without area or wholly outside their image were dropped"),
            (self._clipped, "reached beyond their image and were clipped"),
        ):
            if files:
                distinct = list(dict.fromkeys(files))
                more = f" and {len(distinct) - NAMED_FILES} more" if len(distinct) > NAMED_FILES else ""
                where = ", ".join(distinct[:NAMED_FILES])
                warnings.warn(
                    f"{self.source}: {len(files)} box(es) {problem}, in {where}{more}",
                    AnnotationWarning,
                    stacklevel=2,
                )


def check_objects(images: Sequence[AnnotatedImage], source: str) -> None:
    """Refuse a split in which nothing could be learnt or found: its average precision is not defined.

    Args:
        images: of the split.
        source: what lists them, for the message.

    Raises:
        DataError: none of them has an object, or every object is a crowd or difficult.
    """
    if not any((~one.crowd & ~one.difficult).any() for one in images):
        raise DataError(f"{source}: none of its {len(images)} image(s) has an object that counts")


def _flags(values: Sequence[bool] | None, count: int) -> npt.NDArray[np.bool_]:
    return np.zeros(count, dtype=bool) if values is None else np.asarray(values, dtype=bool).reshape(count)
