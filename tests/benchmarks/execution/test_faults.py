"""Every write, flush and rename of a run fails once: one clear end, nothing lost, and the next run completes.

As SQLite tests itself: the n-th call fails, for every n until a run has fewer calls than that.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.coordination.claims import Claims
from benchmarks.coordination.leftovers import leftovers
from leaderboard import ResultStore, StoreError

ERRORS = {
    "write": OSError(errno.ENOSPC, "No space left on device"),
    "fsync": OSError(errno.EIO, "Input/output error"),
    "replace": OSError(errno.EIO, "Input/output error"),
}


class Faults:
    """Counts the calls that change files below a folder, and lets one of them fail.

    Args:
        folder: whose files count.
        number: the call that fails; 0 for none.
        onwards: all later ones fail, too, as on a disk that stays full.
    """

    def __init__(self, folder: Path, number: int, onwards: bool = False) -> None:
        self._folder, self._number, self._onwards = str(folder), number, onwards
        self.calls: list[str] = []

    def install(self, patch: pytest.MonkeyPatch) -> Faults:
        write, fsync, replace, real_open = os.write, os.fsync, os.replace, builtins.open

        def is_ours(descriptor: int) -> bool:
            return os.readlink(f"/proc/self/fd/{descriptor}").startswith(self._folder)

        def failing_write(descriptor: int, content: Any) -> int:
            if is_ours(descriptor):
                self._count("write", lambda: write(descriptor, bytes(content)[: len(content) // 2]))
            return write(descriptor, content)

        def failing_fsync(descriptor: int) -> None:
            if is_ours(descriptor):
                self._count("fsync")
            fsync(descriptor)

        def failing_replace(source: Any, target: Any, **options: Any) -> None:
            if str(target).startswith(self._folder):
                self._count("replace")
            replace(source, target, **options)

        def watched_open(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
            stream = real_open(file, mode, *rest, **options)
            if set(mode) & set("wax+") and str(file).startswith(self._folder):
                return _Watched(stream, self._count)
            return stream

        for owner, name, function in (
            (os, "write", failing_write),
            (os, "fsync", failing_fsync),
            (os, "replace", failing_replace),
            (builtins, "open", watched_open),
            (io, "open", watched_open),
        ):
            patch.setattr(owner, name, function)
        return self

    def _count(self, call: str, half: Any = lambda: None) -> None:
        self.calls.append(call)
        if len(self.calls) == self._number or (self._onwards and len(self.calls) > self._number > 0):
            half()
            raise ERRORS[call]


class _Watched:
    """A file whose writes count; half of what fails is written."""

    def __init__(self, stream: Any, count: Any) -> None:
        self._stream, self._count = stream, count

    def write(self, content: Any) -> int:
        self._count("write", lambda: self._stream.write(content[: len(content) // 2]))
        return int(self._stream.write(content))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> _Watched:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self._stream)


@pytest.fixture(scope="module")
def matrix(tools: Any) -> Any:
    return tools.matrix_of(seeds=[0], recipes=["opi"], training={"epochs": 1, "batch_size": 512})


@pytest.fixture(scope="module")
def whole(tools: Any, matrix: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The record of a run that nothing happens to."""
    results = tmp_path_factory.mktemp("whole")
    tools.run_matrix(matrix, results)
    return tools.measured(results)


def attempt(tools: Any, matrix: Any, results: Path, faults: Faults) -> str:
    """Run with faults; how it ended."""
    with pytest.MonkeyPatch.context() as patch:
        faults.install(patch)
        try:
            outcome = tools.run_matrix(matrix, results)
        except StoreError as error:
            return str(error)
    assert outcome.failures == []  # a disk is no fault of a cell
    assert outcome.finished or outcome.skipped or outcome.stopped
    return str(outcome.stopped)


@pytest.mark.slow
@pytest.mark.parametrize("onwards", [False, True], ids=["once", "from then on"])
def test_a_run_survives_the_failure_of_every_single_call(
    tools: Any, matrix: Any, whole: Any, tmp_path: Path, onwards: bool
) -> None:
    number, ends = 0, {"completed": 0, "stopped with one message": 0}
    # Where everything fails from some call on, every third will do: each was the first to fail once.
    step = 3 if onwards else 1
    while True:
        number += step
        results = tmp_path / str(number)
        faults = Faults(results, number, onwards)
        said = attempt(tools, matrix, results, faults)
        if said:
            assert str(results) in said
            assert "No space left on device" in said or "Input/output error" in said
            assert "\n" not in said
        ends["stopped with one message" if said else "completed"] += 1
        loaded = ResultStore(results).load()
        assert loaded.invalid == []  # nothing half
        assert len(loaded.records) in ((0, 1) if said else (1,))
        assert Claims(results).load() == {} or onwards
        if len(faults.calls) < number:
            break
        for claim in (results / "claims").glob("*.json"):  # of this living process: a real one has ended
            claim.unlink()
        assert attempt(tools, matrix, results, Faults(results, 0)) == ""
        assert tools.measured(results) == whole
        assert [path for path in leftovers(results, -1) if path.suffix == ".tmp"] == [] or onwards
    kinds = {kind: faults.calls.count(kind) for kind in ERRORS}
    where = "from the n-th call on" if onwards else "in the n-th call"
    print(f"\nfaults {where}: {number - 1} calls {kinds}, {ends}")
    assert number > 20
    assert ends["stopped with one message"] > 10 // step
