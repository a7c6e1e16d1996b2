"""Characters that a terminal or an editor obeys instead of showing: control codes, marks of direction."""

from __future__ import annotations

import codecs
import re
import unicodedata

MARK = "\ufffd"
NEAREST = "spikemark.nearest"  # for `errors` of an encoding: what a terminal lacks, in what it has
_WORDS = {
    "─": "-",
    "·": ".",
    "—": "-",
    "–": "-",
    "−": "-",
    "×": "x",
    "≤": "<=",
    "≥": ">=",
    "…": "...",
    "±": "+-",
}

_ORDINARY = re.compile(r"[\x20-\x7e]*")


def printable(text: object) -> str:
    """One line: every character that would not be seen, line ends among them, replaced by a mark."""
    words = str(text)
    if _ORDINARY.fullmatch(words):
        return words
    return "".join(each if _is_seen(each) else MARK for each in words)


def shown(text: object) -> str:
    """The same for text of several lines, whose line ends and tabs stay."""
    words = str(text).replace("\r\n", "\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in words.split("\n"))


def escaped(json: str) -> str:
    """JSON text with such characters written as JSON escapes, which mean the same."""
    if _ORDINARY.fullmatch(json):
        return json
    return "".join(each if each == "\n" or _is_seen(each) else _escape(each) for each in json)


def _is_seen(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"  # spaces of any width


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _nearest(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    first = error.object[error.start]
    return _WORDS.get(first, first.encode("ascii", "backslashreplace").decode()), error.start + 1


codecs.register_error(NEAREST, _nearest)
