"""Plain lines, and tables and bars, with every word encoded on its way."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from benchmarks.output.text import NEAREST, shown

_SIZE = re.compile(r"[1-9][0-9]{0,3}")  # of a terminal; a width of 0 would show nothing, and say nothing


class Screen(Console):
    """A console that takes words as they are: no markup, no emoji codes, nothing that a terminal obeys.

    Colours and the movements of bars are Rich's own and stay.
    """

    def __init__(self, **options: Any) -> None:
        plain = {"markup": False, "emoji": False, "highlight": False, "_environ": _environment()}
        super().__init__(**{**plain, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is shown, as pieces of text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=shown(segment.text))


def _environment() -> dict[str, str]:
    """The environment without sizes that no terminal has, so that they are asked for or guessed."""
    sizes = {name for name in ("COLUMNS", "LINES") if not _SIZE.fullmatch(os.environ.get(name, ""))}
    return {name: value for name, value in os.environ.items() if name not in sizes}


def screen(**options: Any) -> Screen:
    """The console of a command; options as Rich's `Console` has them."""
    return Screen(**options)


def say(text: object = "", err: bool = False, nl: bool = True) -> None:
    """Print text as it is, but for what a terminal would obey or could not show.

    Args:
        text: one line or several.
        err: to standard error.
        nl: end the line.
    """
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    words = shown(text) + "\n" * nl
    stream.write(words.encode(encoding, NEAREST).decode(encoding))
    stream.flush()
