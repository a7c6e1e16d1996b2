"""Texts of records as the page shows them: what is seen, and nothing that steers what stands beside it.

A mark of direction in the name of a data set turns the text behind it around, a separator of lines breaks a
line, a control code may be anything to whoever copies it. Each becomes a mark, wherever it comes from.
"""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

from leaderboard.ranking.wording import plain

_ASIDE = re.compile(r"[\n\t\u00a0\u2000-\u200a\u202f\u205f\u3000]")  # line ends, tabs, spaces of any width


def as_seen(text: str) -> str:
    """Text of one line or several, with a mark for everything that would not be seen."""
    if text.isprintable():
        return text
    kept = iter(_ASIDE.findall(text))
    return "".join(plain(part) + next(kept, "") for part in _ASIDE.split(text))


def all_as_seen(content: Any) -> Any:
    """The same for plain data: every text in it, the names of entries too."""
    if isinstance(content, str):
        return as_seen(content)
    if isinstance(content, dict):
        return {all_as_seen(key): all_as_seen(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [all_as_seen(each) for each in content]
    return content


def finalized(value: Any) -> Any:
    """What a template prints: texts as they are seen, markup of our own as it is."""
    return as_seen(value) if isinstance(value, str) and not isinstance(value, Markup) else value
