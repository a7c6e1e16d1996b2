"""Errors that a user of the command can mend: printed as one message, without a traceback."""

from __future__ import annotations


class MatrixError(Exception):
    """A matrix file is missing, is not YAML, or says something unknown; names file and field."""


class AnnError(Exception):
    """A trained network cannot be had; says why."""


class TuningError(Exception):
    """A matrix cannot be tuned as asked; says which setting is wrong and what would be right."""
