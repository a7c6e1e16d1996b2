"""Tasks: what a cell needs to know of its task, in one table.

A cell of one task differs from a cell of another in its data module, its Lightning module and its metric.
Data modules and networks say themselves which task they belong to; everything else is a `Task`.
"""

from benchmarks.tasks.base import Task, TrainingSpec
from benchmarks.tasks.registry import find, names, register

__all__ = ["Task", "TrainingSpec", "find", "names", "register"]
