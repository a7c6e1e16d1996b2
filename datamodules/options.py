"""Options of a data set: from a mapping (a matrix file, say) to a validated frozen dataclass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import PurePath
from typing import Any, TypeVar

from datamodules.errors import DataError
from spikemark_plugins.names import did_you_mean

LONGEST_NAME = 255  # bytes of a file's name, on all usual file systems
OptionsT = TypeVar("OptionsT")


def parse_options(options_type: type[OptionsT], values: Mapping[str, Any], owner: str) -> OptionsT:
    """Make the options of one data set.

    Args:
        options_type: a frozen dataclass that validates itself.
        values: option name -> value; lists become tuples.
        owner: the data set's name, for messages.

    Returns:
        The validated options.

    Raises:
        DataError: an option is unknown (the nearest valid one is named), missing or out of range.
    """
    known = {field.name: field for field in fields(options_type)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise DataError(f"data set {owner!r} has no option {name!r}{did_you_mean(name, sorted(known))}")
    required = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
    if lacking := [name for name in required if name not in values]:
        raise DataError(f"data set {owner!r} needs the option(s) {', '.join(lacking)}")
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        return options_type(**plain)
    except DataError as error:
        raise DataError(f"data set {owner!r}: {error}") from None


def check_integer(name: str, value: object, low: int, high: int | None = None) -> None:
    """Raise `DataError` unless ``value`` is an integer in [low, high]."""
    inside = isinstance(value, int) and not isinstance(value, bool) and low <= value
    if not inside or (high is not None and value > high):  # type: ignore[operator]
        bound = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise DataError(f"{name} must be an integer {bound}, got {value!r}")


def check_flag(name: str, value: object) -> None:
    """Raise `DataError` unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise DataError(f"{name} must be true or false, got {value!r}")


def check_channels(mean: object, std: object) -> None:
    """Raise `DataError` unless mean and std are equally long tuples of 1 or 3 finite numbers, std above 0."""
    for name, constants in (("mean", mean), ("std", std)):
        if not isinstance(constants, tuple) or len(constants) not in (1, 3):
            raise DataError(f"{name} must be a tuple of 1 (grey) or 3 (colour) numbers, got {constants!r}")
        if not all(_is_number(c) and math.isfinite(c) for c in constants):
            raise DataError(f"{name} must hold numbers, and finite ones, got {constants!r}")
    assert isinstance(mean, tuple)
    assert isinstance(std, tuple)
    if len(mean) != len(std):
        raise DataError(f"mean and std must have one number per channel each, got {mean!r} and {std!r}")
    if min(std) <= 0:
        raise DataError(f"std must be above 0, got {std!r}")


def check_relative_path(name: str, value: object, empty: bool = False) -> None:
    """Raise `DataError` unless ``value`` is a path relative to the data root, or ``empty`` and allowed to be.

    An absolute path would give the same cell another identity on every machine.
    """
    if not isinstance(value, str) or not (value or empty):
        raise DataError(f"{name} must be a path relative to the data root, got {value!r}")
    if PurePath(value).is_absolute():
        raise DataError(f"{name} must be relative to the data root, got the absolute path {value!r}")
    if "\0" in value or any(len(part.encode()) > LONGEST_NAME for part in PurePath(value).parts):
        raise DataError(
            f"{name} must be a path of names of at most {LONGEST_NAME} bytes, got {value[:40]!r}..."
            f" ({len(value)} characters)"
        )


def check_augmentation(scales: object, photometric: object) -> None:
    """Raise DataError unless scales are (low, high) with 0 < low <= high, and photometric at least 0."""
    pair = isinstance(scales, tuple) and len(scales) == 2 and all(map(_is_number, scales))
    if not pair or not 0 < scales[0] <= scales[1]:  # type: ignore[index]
        raise DataError(f"scales must be two numbers 0 < low <= high, got {scales!r}")
    if not _is_number(photometric) or photometric < 0:  # type: ignore[operator]
        raise DataError(f"photometric must be a number of at least 0, got {photometric!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
