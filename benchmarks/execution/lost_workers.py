"""How an executor says that a job was lost, or that no further job can be run."""

from __future__ import annotations


class WorkerDied(Exception):
    """A worker ended without an answer, and its job with it."""


class DiedOften(WorkerDied):
    """The executor has already begun the job again on other workers, and they died, too."""


class NotStarted(WorkerDied):
    """A worker could not be started; the job was not touched."""


class ExecutorLost(Exception):
    """No further job can be submitted, for example because a scheduler is gone."""
