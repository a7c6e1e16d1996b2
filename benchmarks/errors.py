"""Errors that a user of the command can mend: printed as one message, without a traceback."""

from __future__ import annotations


class MatrixError(Exception):
    """A matrix file is missing, is not YAML, or says something unknown; names file and field."""


class AnnError(Exception):
    """A trained network cannot be had; says why."""


class TuningError(Exception):
    """A matrix cannot be tuned as asked; says which setting is wrong and what would be right."""


class ExecutionError(Exception):
    """Jobs cannot be run where they were asked to; says what is missing."""


class PluginError(Exception):
    """A plug-in cannot be written or found; says why."""


class MemoryExhausted(Exception):
    """A training needs more memory than there is; says which settings need less."""


class RegressionError(Exception):
    """The regression gate cannot measure; says which cell failed and why."""


OUT_OF_MEMORY = ("memoryerror", "out of memory", "allocate memory", "not enough memory")


def is_out_of_memory(said: str) -> bool:
    """Whether an error's text says that memory ran out, of the system or of a GPU."""
    return any(sign in said.lower() for sign in OUT_OF_MEMORY)
