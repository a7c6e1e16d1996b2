"""All encodings by name. A new one is a file with `ENCODING`, named here; nothing else has to know it."""

from __future__ import annotations

from leaderboard.scores import detections, pixels, proportions
from leaderboard.scores.base import Encoding, ImageScores, of_all_images

_FILES = (proportions, detections, pixels)
_ENCODINGS: dict[str, Encoding] = {file.ENCODING.name: file.ENCODING for file in _FILES}


def by_name(name: str) -> Encoding:
    """The encoding of a name.

    Raises:
        ValueError: there is none; says what there is.
    """
    if name not in _ENCODINGS:
        raise ValueError(f"no encoding {name!r} of outcomes; there are {', '.join(_ENCODINGS)}")
    return _ENCODINGS[name]


def decoded(encoding: str, common: str | None, text: str, count: int) -> ImageScores:
    """What a record keeps of one read-out.

    Args:
        encoding: name.
        common: what all read-outs of the record share, where the encoding has it.
        text: of the read-out.
        count: number of test images.

    Raises:
        ValueError: the text is damaged or does not fit the number of images.
    """
    return by_name(encoding).decode(common, text, count)


def metric(encoding: str, common: str | None, text: str, count: int) -> float:
    """The metric of the whole test set, each image once; arguments and errors as for `decoded`."""
    found = by_name(encoding)
    if found.metric is not None:
        return found.metric(common, text, count)
    return of_all_images(found.decode(common, text, count))
