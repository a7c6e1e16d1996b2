"""Plain lines, and tables and bars, with every word encoded on its way."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from benchmarks.output.text import NEAREST, shown


class Screen(Console):
    """A console that takes words as they are: no markup, no emoji codes, nothing that a terminal obeys.

    Colours and the movements of bars are Rich's own and stay.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is shown, as pieces of text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=shown(segment.text))


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
