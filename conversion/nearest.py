"""A hint for a misspelt name: the valid name that is nearest to it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LIKENESS = 0.65  # of two names, from 0 to 1, from which on one is proposed: one wrong letter in three


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """A question with the nearest valid name, ending in a space; "" where none is near."""
    names = sorted(valid)
    longer = [each for each in names if len(name) > 1 and each.startswith(name)]
    near = longer or difflib.get_close_matches(name, names, n=1, cutoff=_LIKENESS)
    return f"did you mean '{near[0]}'? " if near else ""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Hint for a misspelt name: the nearest valid one, then all of them."""
    names = sorted(valid)
    return f"{did_you_mean(name, names)}valid: {', '.join(names)}"
