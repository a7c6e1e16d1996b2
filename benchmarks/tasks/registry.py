"""Tasks by name."""

from __future__ import annotations

from benchmarks.tasks.base import Task
from benchmarks.tasks.classification import CLASSIFICATION
from benchmarks.tasks.detection import DETECTION
from benchmarks.tasks.segmentation import SEGMENTATION
from spikemark_plugins.names import did_you_mean

# A new task of ours is one more name here, beside its data modules, networks, Lightning module and metric.
_TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFICATION, DETECTION, SEGMENTATION)}


def register(task: Task) -> Task:
    """Make a task known under its name.

    Raises:
        ValueError: the name is taken.
    """
    if task.name in _TASKS:
        raise ValueError(f"task {task.name!r} is registered twice")
    _TASKS[task.name] = task
    return task


def names() -> list[str]:
    """Return the names of all tasks."""
    return list(_TASKS)


def find(name: str) -> Task:
    """Return a task by its name.

    Raises:
        ValueError: there is none of that name; lists those there are.
    """
    if name not in _TASKS:
        raise ValueError(f"there is no task {name!r}{did_you_mean(name, _TASKS)}")
    return _TASKS[name]
