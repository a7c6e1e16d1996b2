"""Printing: every command prints through this package.

Names, labels and messages come from files that others wrote, and may hold control codes. Codes that a
terminal would obey are shown as a mark. Printing works on terminals with few characters, and ends no work
where the output is full or closed.
"""

from benchmarks.output.screen import Screen, say, screen
from benchmarks.output.text import escaped, printable, shown

__all__ = ["Screen", "escaped", "printable", "say", "screen", "shown"]
