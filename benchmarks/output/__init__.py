"""The way of every word to a terminal: no command prints past it.

Names, labels and messages come from files that others wrote. What a terminal would obey is shown as a mark,
whatever the terminal can show, and whether or not anybody can still read what is printed.
"""

from benchmarks.output.screen import Screen, say, screen
from benchmarks.output.text import escaped, printable, shown

__all__ = ["Screen", "escaped", "printable", "say", "screen", "shown"]
