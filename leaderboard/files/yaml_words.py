"""What a word of YAML without quotes means: a number, a truth value, nothing, or text.

YAML 1.1 reads `010` as 8, `1:30` as 90 and `off` as false, later versions as 10, text and text. Where they
disagree about a number, the word is refused: whoever wrote it meant one of them. `yes`, `no`, `on` and `off`
are truth values, as in 1.1; readers ask `is_loose_truth`, because such a word is often meant as text.
"""

from __future__ import annotations

import math
import re

DIGITS = 18  # of a whole number; so many fit into 64 bits
SHOWN = 40  # characters of a word in a message
_NOTHING = {"", "~", "null", "Null", "NULL"}
_TRUTHS = {
    form: value == "true" for value in ("true", "false") for form in (value, value.title(), value.upper())
}
_LOOSE_TRUTHS = {
    form: value
    for word, value in {"yes": True, "on": True, "no": False, "off": False}.items()
    for form in (word, word.title(), word.upper())
}
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_BASE = re.compile(r"[-+]?0[bBoO][0-9_]+")
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_ENDLESS = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

Value = None | bool | int | float | str


class WordError(ValueError):
    """A word whose meaning is not clear; says what it could mean, and what to write."""


def meaning(word: str) -> Value:
    """Return what a word without quotes stands for.

    Raises:
        WordError: versions of YAML disagree about it, or it is no finite number of usual size.
    """
    if word in _NOTHING:
        return None
    if word in _TRUTHS:
        return _TRUTHS[word]
    if word in _LOOSE_TRUTHS:
        return _LOOSE_TRUTHS[word]
    if not word[0].isdigit() and word[0] not in "+-.":
        return word
    return _number(word)


def is_loose_truth(word: str) -> bool:
    """Whether a word without quotes is one of yes, no, on and off, which some mean as text."""
    return word in _LOOSE_TRUTHS


def shown(word: str) -> str:
    """A word for a message: short, in backticks."""
    return f"`{word}`" if len(word) <= SHOWN else f"`{word[:SHOWN]}...` ({len(word)} characters)"


def _number(word: str) -> Value:
    plain = word.replace("_", "")
    if _WHOLE.fullmatch(word):
        if len(plain.lstrip("+-")) > DIGITS:
            raise WordError(
                f"{shown(word)} is a whole number of more than {DIGITS} digits: write a smaller one"
            )
        return int(plain, 16 if "0x" in plain else 10)
    if _LEADING_ZERO.fullmatch(word):
        decimal = plain.lstrip("+-0") or "0"
        octal = "not a number" if set(plain) & set("89") else f"{_octal(plain)}, in base 8,"
        raise WordError(
            f"{shown(word)} is {octal} in YAML 1.1 and {shown(decimal)} elsewhere: leave out the zero before"
            " a number, or put quotes round a name"
        )
    if _BASE.fullmatch(word):
        raise WordError(f"{shown(word)} is a number in some versions of YAML alone: write it in decimal")
    if _SIXTIES.fullmatch(word):
        raise WordError(
            f"{shown(word)} is {_from_sixties(plain)}, in base 60, in YAML 1.1 and text elsewhere: write a"
            " number in decimal, or put quotes round text"
        )
    if _ENDLESS.fullmatch(word):
        raise WordError(f"{shown(word)} is not a finite number: write one, or put quotes round text")
    if _REAL.fullmatch(word):
        value = float(plain)
        if not math.isfinite(value):
            raise WordError(f"{shown(word)} is too large to be a number: write a smaller one")
        return value
    return word


def _octal(digits: str) -> str:
    return f"{int(digits, 8)}" if len(digits) <= DIGITS else "another number"


def _from_sixties(word: str) -> str:
    sign = "-" if word.startswith("-") else ""
    total = 0.0
    for part in word.lstrip("+-").split(":"):
        total = total * 60 + float(part)
    return f"{sign}{total:g}"
