"""Claims: of all processes that share a results folder, on any machine, one at a time does a piece of work.

    <results>/claims/<kind>-<id>.json       who does it; its modification time is the owner's heartbeat
    <results>/claims/<kind>-<id>.progress   how far it is, see `progress_file`
    <results>/claims/.turn.lock             held for the moment in which a claim is taken

A claim outlives its owner when that is killed. On the same machine the dead process is noticed at once, on
others when the heartbeat has been silent for `SILENCE`; then whoever wants the work takes the claim over.
The owner only ever touches its own file, by its descriptor, so an owner that was merely frozen cannot
disturb its successor: it finds that it is no longer the holder (`Claim.held`) and drops its result.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import psutil
from filelock import FileLock, Timeout

from benchmarks.execution.progress_file import Progress, ProgressFile
from leaderboard import StoreError
from leaderboard.files import unwritable

HEARTBEAT = 5.0  # seconds
SILENCE = 120.0  # seconds without a heartbeat after which an owner on another machine counts as dead
TURN = 60.0  # seconds to wait for the lock that is held for milliseconds
POLL = 0.5  # seconds


@dataclass(frozen=True)
class Owner:
    """A process: pid is unique in its name space, the start tells it from a later process of that pid."""

    host: str
    space: str  # of process ids; containers of one host may each have their own
    pid: int
    started: float  # Unix time

    @staticmethod
    def here() -> Owner:
        """This process."""
        return Owner(socket.gethostname(), _space(), os.getpid(), psutil.Process().create_time())

    @property
    def alive(self) -> bool | None:
        """Whether the process runs; None where that cannot be seen from here."""
        if (self.host, self.space) != (socket.gethostname(), _space()):
            return None
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True)
class Holding:
    """A claim as others see it."""

    key: str
    title: str
    owner: Owner
    since: float  # Unix time
    stale: bool  # the owner is dead
    progress: Progress | None


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
            with FileLock(self.folder / ".turn.lock", timeout=TURN):
                if path.exists():
                    found = self._read(path)
                    if found is not None and not found.stale:
                        return None
                    _remove(path)
                return Claim(path, title)
        except Timeout as error:
            raise StoreError(
                f"{self.folder / '.turn.lock'} has been locked for {TURN:g} s; remove it if nothing runs"
            ) from error
        except OSError as error:
            raise unwritable(path, error) from error

    def wait(self, key: str, title: str, on_wait: Callable[[Holding], None]) -> Claim:
        """Claim a piece of work, after whoever holds it; `on_wait` is called once if that takes time.

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

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _read(self, path: Path) -> Holding | None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            owner = Owner(**content["owner"])
            title, since = str(content["title"]), float(content["since"])
            beat = path.stat().st_mtime
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return _unreadable(path)
        alive = owner.alive
        stale = _now(self.folder) - beat > SILENCE if alive is None else not alive
        return Holding(path.stem, title, owner, since, stale, ProgressFile.of(path).read())


class Claim:
    """A claim that this process holds; use as a context, which gives it up."""

    def __init__(self, path: Path, title: str) -> None:
        self.path = path
        self.progress = ProgressFile.of(path)
        content = {"owner": asdict(Owner.here()), "title": title, "since": time.time()}
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
        if self.held:
            _remove(self.path)
        os.close(self._file)

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
    ProgressFile.of(path).remove()
    path.unlink(missing_ok=True)


def _unreadable(path: Path) -> Holding:
    """A claim that a crash of the machine has damaged: nobody holds it."""
    nobody = Owner("unknown", "", 0, 0.0)
    return Holding(path.stem, "", nobody, 0.0, True, None)


def _space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _now(folder: Path) -> float:
    """The time of the file system, which on other machines may differ from the clock."""
    probe = folder / f".clock.{os.getpid()}"
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
        return now
    except OSError:  # a folder that is only read
        return time.time()
