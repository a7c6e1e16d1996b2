"""What tuning may vary: the search ranges that parts of a recipe declare.

Ranges come from the fields of a part: numbers from `conversion.parts.searched`, true or false and
`Literal` words from their type. A range always includes the value that the search starts from.
"""

from __future__ import annotations

import dataclasses
import math
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from conversion.parts import Part, part_type


@dataclasses.dataclass(frozen=True)
class NumberRange:
    """All numbers from `low` to `high`, both included."""

    low: float
    high: float
    integer: bool = False
    log: bool = False

    def including(self, value: float) -> NumberRange:
        """The range, widened where it leaves out a value."""
        return dataclasses.replace(self, low=min(self.low, value), high=max(self.high, value))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclasses.dataclass(frozen=True)
class Choices:
    """One of a few values."""

    values: tuple[Any, ...]

    def including(self, value: Any) -> Choices:
        """The choices, with one more where it is not among them."""
        return self if value in self.values else Choices((value, *self.values))

    def __contains__(self, value: object) -> bool:
        return value in self.values


Range = NumberRange | Choices


def search_ranges(part: Part, time_steps: int) -> dict[str, Range]:
    """Searched parameters of a part, each with a range that includes its present value.

    Args:
        part: the part that the search starts from.
        time_steps: T of the read-out that is tuned for; some ranges are multiples of it.
    """
    ranges = declared_ranges(part.kind, part.name, time_steps)
    return {name: values.including(getattr(part, name)) for name, values in ranges.items()}


def declared_ranges(kind: str, name: str, time_steps: int) -> dict[str, Range]:
    """Searched parameters of the part of this kind and name, as it declares them."""
    cls = part_type(kind, name)
    hints = get_type_hints(cls)
    found: dict[str, Range] = {}
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if "range" in field.metadata:
            found[field.name] = _numbers(field.metadata, hint is int, time_steps)
        elif hint is bool:
            found[field.name] = Choices((False, True))
        elif words := _words(hint):
            found[field.name] = Choices(words)
    return found


def _numbers(metadata: Any, integer: bool, time_steps: int) -> NumberRange:
    low, high = metadata["range"]
    if metadata.get("of_time_steps"):
        low, high = low * time_steps, high * time_steps
    if integer:
        low, high = math.ceil(low), max(math.floor(high), math.ceil(low))
    return NumberRange(low, high, integer, bool(metadata.get("log")))


def _words(hint: Any) -> tuple[Any, ...]:
    """Values of a Literal, or of a union of Literals and None."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        members = [member for member in get_args(hint) if member is not types.NoneType]
        words = [_words(member) for member in members]
        if all(words):
            optional = len(members) < len(get_args(hint))
            return tuple(word for group in words for word in group) + ((None,) if optional else ())
    return ()
