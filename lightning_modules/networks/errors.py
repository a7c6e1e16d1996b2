"""What goes wrong with networks and their files."""

from __future__ import annotations


class NetworkError(ValueError):
    """A network or one of its options does not exist, or does not fit the data."""


class CheckpointError(ValueError):
    """A file of weights is missing, unreadable, or made for another network."""
