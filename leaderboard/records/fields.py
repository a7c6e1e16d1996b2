"""What the fields of a record can hold at all: bounded numbers, short texts, times.

A number that nothing can cost or count would rank first, or end every table in an overflow. Bounds are so
wide that no measurement meets them, and so narrow that sums, products and ratios of a few numbers are finite.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

LARGEST = 1e30  # of any number
SMALLEST = 1e-30  # of an energy above zero: ratios divide by it
MOST_INTEGER = 2**63 - 1
LONGEST_TEXT = 1000  # characters of a name, a label, a version
LONGEST_LINE = 20_000  # characters of a report's line, or of a text in a configuration
MOST_VALUES = 20_000  # of a configuration
DEEPEST = 50  # lists and mappings inside of each other
MOST_READOUTS = 10_000
MOST_IMAGES = 2_000_000  # of a test set: each is drawn a hundred times for intervals
ROUNDING = 1e-6  # metrics may be means of float32 numbers

Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]
Line = Annotated[str, StringConstraints(max_length=LONGEST_LINE)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,64}$")]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Cost = Annotated[float, Field(ge=0, le=LARGEST)]
Integer = Annotated[int, Field(ge=-MOST_INTEGER, le=MOST_INTEGER)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Positive = Annotated[int, Field(ge=1, le=10**15)]
Images = Annotated[int, Field(ge=1, le=MOST_IMAGES)]
Version = Annotated[int, Field(ge=1, le=10**6)]
Steps = Annotated[int, Field(ge=1, le=10**9)]
MeanSteps = Annotated[float, Field(ge=1, le=1e9)]  # over images, which may end early

_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)?")  # these sort as texts
_SHARES = re.compile(r"top\d+|agreement|(.*[_/-])?(accuracy|m?iou|m?ap)([_@]?\d.*)?")
_DIVERGENCES = re.compile(r"(.*[_/-])?(kl|divergence)")


def _time(text: str) -> str:
    try:
        if _UTC.fullmatch(text) is None:
            raise ValueError
        datetime.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError(
            "time", "should be a time of ISO 8601 in UTC, such as 2026-01-31T23:59:59+00:00"
        ) from None
    return text


Time = Annotated[str, StringConstraints(max_length=40), AfterValidator(_time)]


def bounded(value: float) -> float:
    """The nearest number that a field can hold."""
    return max(-LARGEST, min(LARGEST, value))


def impossible_metric(name: str, value: float, ranks: bool) -> str | None:
    """Why a metric cannot have a value, or None.

    Args:
        name: of the metric, e.g. "top1"; the ranges of well-known ones are known.
        value: finite.
        ranks: networks are ranked by it: it is shown in percent, so it is a share whatever it is called.
    """
    known = name.lower()
    share = ranks or _SHARES.fullmatch(known) is not None
    if share and not -ROUNDING <= value <= 1 + ROUNDING:
        return f"{value:.6g} should be a share, from 0 to 1"
    if _DIVERGENCES.fullmatch(known) and value < -ROUNDING:
        return f"{value:.6g} should not be negative"
    return None


def not_plain(value: Any) -> str | None:
    """Why something of a configuration cannot be kept or shown, or None: see the limits of this file."""
    rest, seen = [(value, 0)], 0
    while rest:
        one, depth = rest.pop()
        seen += 1
        if seen > MOST_VALUES or depth > DEEPEST:
            return f"holds more than {MOST_VALUES} values, or some deeper than {DEEPEST}"
        if isinstance(one, dict):
            rest += [(each, depth + 1) for pair in one.items() for each in pair]
        elif isinstance(one, list | tuple):
            rest += [(each, depth + 1) for each in one]
        elif isinstance(one, str):
            if len(one) > LONGEST_LINE:
                return f"holds a text of {len(one)} characters, more than {LONGEST_LINE}"
            if any("\ud800" <= sign <= "\udfff" for sign in one):
                return "holds a text that is no Unicode"
        elif isinstance(one, int | float) and not -LARGEST <= one <= LARGEST:
            return f"holds a number that is not finite or beyond {LARGEST:g}"
    return None
