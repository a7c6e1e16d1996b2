"""Claims: of all processes that share a results folder, on any machine, one at a time does a piece of work.

    <results>/claims/<kind>-<id>.json       who does it; its modification time is the owner's heartbeat
    <results>/claims/<kind>-<id>.progress   how far it is, see `progress_file`
    <results>/claims/.turn.lock             held for the moment in which a claim is taken

When an owner is killed, its claim stays. Processes on the same machine see at once that the owner is dead;
on other machines it counts as dead after `SILENCE` seconds without a heartbeat. Then the next process that
wants the work takes the claim over. A claim that cannot be read, or that another version wrote, holds as
long as its heartbeat moves. The owner only touches its own file, by its descriptor, so an owner that was
merely frozen cannot disturb its successor: it finds that it is no longer the holder (`Claim.held`) and
drops its result.

Why no library: the kernel's locks (`filelock.FileLock`) end with their process, but on network disks they may
hold for one machine alone. The leases of `filelock` (`SoftFileLease`, since 3.30) have a heartbeat, and other
machines take them over, too. But a process has to watch a lease for its whole duration before it knows that
the owner is dead; `spikemark status` has to know that from one look. A claim also says what the work is, and
how far it is.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated

from filelock import FileLock, Timeout
from pydantic import ConfigDict, Field, TypeAdapter

from benchmarks.coordination.heartbeats import forget, silence, unseen
from benchmarks.coordination.owners import Owner
from benchmarks.coordination.progress_file import Progress, ProgressFile
from leaderboard import StoreError
from leaderboard.files.atomic import unwritable
from leaderboard.files.plain_files import SMALL, read_as

HEARTBEAT = 5.0  # seconds
SILENCE = 120.0  # seconds without a heartbeat after which an owner on another machine counts as dead
TURN = 60.0  # seconds to wait for the lock that is held for milliseconds
POLL = 0.5  # seconds
TITLE = 1000  # characters


@dataclass(frozen=True)
class _Content:
    """What a claim says."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    owner: Owner
    title: Annotated[str, Field(max_length=4096)]
    since: Annotated[float, Field(ge=0, lt=1e11)]  # Unix time


_CONTENT = TypeAdapter(_Content)


@dataclass(frozen=True)
class Holding:
    """A claim as others see it."""

    key: str
    title: str
    owner: Owner | None  # None where the claim cannot be read
    since: float  # Unix time
    stale: bool  # the owner is dead
    progress: Progress | None

    @property
    def who(self) -> str:
        """The owner for people."""
        return str(self.owner) if self.owner is not None else "somebody whose claim cannot be read"


class Claims:
    """The claims of a results folder.

    Args:
        results: the folder; claims lie in its folder "claims".
    """

    def __init__(self, results: Path) -> None:
        self.folder = results / "claims"

    def take(self, key: str, title: str) -> Claim | None:
        """Claim a piece of work; None while somebody alive holds it.

        Args:
            key: names the work and the file, e.g. "cell-0123456789abcdef".
            title: what people are told.

        Raises:
            StoreError: the folder cannot be written.
        """
        path = self._path(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._turn():
                found = self._read(path)
                if found is not None and not found.stale:
                    return None
                _remove(path)
                return Claim(path, title, self._turn)
        except Timeout as error:
            raise StoreError(
                f"{self.folder / '.turn.lock'} has been locked for {TURN:g} s; remove it if nothing runs"
            ) from error
        except OSError as error:
            raise unwritable(path, error) from error

    def wait(self, key: str, title: str, on_wait: Callable[[Holding], None]) -> Claim:
        """Claim a piece of work; while another process holds it, wait. `on_wait` is called once before that.

        Raises:
            StoreError: the folder cannot be written.
        """
        told = False
        while (claim := self.take(key, title)) is None:
            if not told and (found := self.find(key)) is not None:
                on_wait(found)
                told = True
            time.sleep(POLL)
        return claim

    def find(self, key: str) -> Holding | None:
        """Who holds this claim, dead or alive; None if nobody does."""
        return self._read(self._path(key))

    def load(self) -> dict[str, Holding]:
        """All claims by key."""
        found = (self._read(path) for path in sorted(self.folder.glob("*.json")) if path.name[0] != ".")
        return {holding.key: holding for holding in found if holding is not None}

    def sweep(self, keys: Iterable[str]) -> None:
        """Remove the claims to these pieces of work whose owners are dead: nobody has to take them over."""
        for key in keys:
            path = self._path(key)
            found = self._read(path)
            if found is None or not found.stale:
                continue
            with suppress(OSError, Timeout), self._turn():
                found = self._read(path)  # or that of a successor would go
                if found is not None and found.stale:
                    _remove(path)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _turn(self) -> FileLock:
        return FileLock(self.folder / ".turn.lock", timeout=TURN)

    def _read(self, path: Path) -> Holding | None:
        content, beat = None, 0  # a file that nobody can look at has no heartbeat that could move
        try:
            beat = path.lstat().st_mtime_ns  # a link is no claim, and beats as little as it changes
            content = read_as(_CONTENT, path, SMALL, False)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            pass
        alive = content.owner.alive if content is not None else None
        stale = self._silence(path, beat) > SILENCE if alive is None else not alive
        progress = ProgressFile.of(path).read()
        if content is None:
            return Holding(path.stem, path.stem, None, beat / 1e9, stale, progress)
        return Holding(path.stem, content.title, content.owner, content.since, stale, progress)

    @staticmethod
    def _silence(path: Path, beat: int) -> float:
        return silence(path, beat) if beat else unseen(path)


class Claim:
    """A claim that this process holds; use as a context, which gives it up.

    Args:
        path: of its file.
        title: what people are told.
        turn: makes the lock that is held while a claim changes hands.
    """

    def __init__(self, path: Path, title: str, turn: Callable[[], FileLock]) -> None:
        self.path = path
        self.progress = ProgressFile.of(path)
        self._turn = turn
        content = {"owner": asdict(Owner.here()), "title": title[:TITLE], "since": time.time()}
        unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        self._file = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        try:
            os.write(self._file, json.dumps(content).encode())
            os.replace(unfinished, path)
        except OSError:
            os.close(self._file)
            unfinished.unlink(missing_ok=True)
            raise
        _HEART.add(self)

    @property
    def held(self) -> bool:
        """Whether nobody has taken the claim over."""
        try:
            mine, there = os.fstat(self._file), self.path.stat()
        except OSError:
            return False
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)

    def beat(self) -> None:
        """Show that the owner lives, and how far it is."""
        with suppress(OSError):
            os.utime(self._file)
        self.progress.flush()

    def release(self) -> None:
        """Give the claim up."""
        _HEART.remove(self)
        if self.held:  # or taking turns would make the folder anew
            try:
                with self._turn():  # or a successor could lose its claim between the look and the removal
                    self._remove_if_held()
            except (OSError, Timeout):
                self._remove_if_held()
        os.close(self._file)

    def _remove_if_held(self) -> None:
        if self.held:
            try:
                _remove(self.path)
            except OSError:  # emptied, it ends with its heartbeat, although this process lives on
                with suppress(OSError):
                    os.ftruncate(self._file, 0)

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class _Heart:
    """One thread a process that beats for all of its claims."""

    def __init__(self) -> None:
        self._claims: set[Claim] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, claim: Claim) -> None:
        with self._lock:
            self._claims.add(claim)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._beat, name="claims", daemon=True)
                self._thread.start()

    def remove(self, claim: Claim) -> None:
        with self._lock:
            self._claims.discard(claim)

    def _beat(self) -> None:
        while True:
            time.sleep(HEARTBEAT)
            with self._lock:
                for claim in self._claims:
                    claim.beat()


_HEART = _Heart()


def _remove(path: Path) -> None:
    """Remove a claim and what lies beside it; a folder in its place is moved aside."""
    ProgressFile.of(path).remove()
    forget(path)
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f".{path.name}.{uuid.uuid4().hex}.aside"))
    path.unlink(missing_ok=True)
