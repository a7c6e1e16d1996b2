"""Text from a results folder, which others may have written, on its way to a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with every character that a terminal would obey, not show, replaced by a mark."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
