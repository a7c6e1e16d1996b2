"""Tasks by name."""

from __future__ import annotations

from benchmarks.tasks.base import Task
from benchmarks.tasks.classification import CLASSIFICATION
from benchmarks.tasks.detection import DETECTION
from benchmarks.tasks.segmentation import SEGMENTATION

# A new task is one more line here, beside its data modules, networks, Lightning module and metric.
_TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFICATION, DETECTION, SEGMENTATION)}


def names() -> list[str]:
    """Return the names of all tasks."""
    return list(_TASKS)


def find(name: str) -> Task:
    """Return a task by its name.

    Raises:
        ValueError: there is none of that name; lists those there are.
    """
    if name not in _TASKS:
        raise ValueError(f"there is no task {name!r}. Valid: {', '.join(_TASKS)}")
    return _TASKS[name]
