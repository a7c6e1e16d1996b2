"""Which records may be references: those that anybody can measure again from the same source."""

from __future__ import annotations

from collections.abc import Callable

from leaderboard.records.record import BENCHMARK_VERSION, Record

KnowsCommit = Callable[[str], bool | None]  # None: nobody can tell here


def unfit(record: Record, knows: KnowsCommit = lambda commit: None) -> str | None:
    """Why a record cannot be a reference, or None.

    Args:
        record: sound.
        knows: whether a commit belongs to the history of this repository.
    """
    origin = record.provenance
    if origin.git_commit is None:
        return "nobody knows the commit that measured it: run it from a clone of the repository"
    if origin.git_dirty is not False:
        return (
            f"commit {origin.git_commit[:8]} had changes that were not committed: commit them, run it again"
        )
    if knows(origin.git_commit) is False:
        return f"commit {origin.git_commit[:8]} is not in the history of this repository"
    if record.benchmark_version != BENCHMARK_VERSION:
        return (
            f"is of version {record.benchmark_version} of the benchmark; this is version {BENCHMARK_VERSION}"
        )
    if record.outcomes is None:
        return "holds no outcomes of single images, so that nobody can compare with it"
    return None
