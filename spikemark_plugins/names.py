"""Words for a name that nobody registered: which name was probably meant, and which names there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LIKENESS = 0.65  # of two names, from 0 to 1, from which on one is proposed: one wrong letter in three


def closest(name: object, valid: Iterable[str]) -> str | None:
    """The valid name that is most like the given one; None where none is like it."""
    found = difflib.get_close_matches(str(name), list(valid), n=1, cutoff=LIKENESS)
    return found[0] if found else None


def did_you_mean(name: object, valid: Iterable[str]) -> str:
    """The end of a message about an unknown name.

    Args:
        name: what was asked for.
        valid: what there is, in the order in which it is to be listed.

    Returns:
        ``"; did you mean 'x'? Valid: x, y"``, without the question where nothing is near.
    """
    known = list(valid)
    near = closest(name, known)
    question = "." if near is None else f"; did you mean {near!r}?"
    return f"{question} Valid: {', '.join(known) or 'none'}"
