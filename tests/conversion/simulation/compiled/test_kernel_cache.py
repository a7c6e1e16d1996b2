"""What is loaded is what was compiled here, by this user; whatever else lies in the cache is not run."""

from __future__ import annotations

import errno
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from conversion.errors import ConversionError
from conversion.simulation.caching import cache_folder
from conversion.simulation.compiled.native import _compiler, _wanted, kernel, private_cache
from conversion.simulation.compiled.native import compiler as running
from conversion.simulation.compiled.native.private_cache import ForeignError, library, private_folder

CONTENT = b"\x7fELF" + bytes(range(256)) * 40


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def compiler() -> Any:
    """Writes what a compiler would, and counts."""
    calls: list[Path] = []

    def compile_to(path: Path) -> None:
        calls.append(path)
        path.write_bytes(CONTENT)

    return SimpleNamespace(run=compile_to, calls=calls)


@pytest.fixture
def no_kernel() -> Iterator[None]:
    """Not loaded yet; named before `monkeypatch`, whose changes are undone before it is loaded again."""
    kernel.cache_clear()
    yield
    kernel.cache_clear()
    kernel()  # or it would be compiled for a test that has a cache of its own


def test_a_library_is_compiled_once_in_a_folder_of_ones_own(cache: Path, compiler: Any) -> None:
    for _ in range(3):
        assert library(cache, "spikes", compiler.run).read_bytes() == CONTENT
    assert len(compiler.calls) == 1
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert all(not path.stat().st_mode & 0o022 for path in cache.glob("spikes.so*"))
    assert sorted(path.name for path in cache.iterdir()) == ["spikes.lock", "spikes.so", "spikes.so.sha256"]


def truncated(path: Path) -> None:
    os.truncate(path, 4096)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[random.Random(3).randrange(len(content))] ^= 4
    path.write_bytes(content)


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def without_a_hash(path: Path) -> None:
    path.with_name(f"{path.name}.sha256").unlink()


def with_another_hash(path: Path) -> None:
    path.with_name(f"{path.name}.sha256").write_text("0" * 64)


def with_no_hash_at_all(path: Path) -> None:
    path.with_name(f"{path.name}.sha256").write_bytes(b"")


def writable_by_the_group(path: Path) -> None:
    path.chmod(0o770)


def writable_by_all(path: Path) -> None:
    path.chmod(0o757)


def with_a_hash_that_all_may_write(path: Path) -> None:
    path.with_name(f"{path.name}.sha256").chmod(0o666)


def replaced_by_a_link(path: Path) -> None:
    other = path.with_name("other.so")
    path.rename(other)
    path.symlink_to(other)


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replaced_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "harm",
    [
        truncated,
        emptied,
        flipped,
        lengthened,
        without_a_hash,
        with_another_hash,
        with_no_hash_at_all,
        writable_by_the_group,
        writable_by_all,
        with_a_hash_that_all_may_write,
        replaced_by_a_link,
        replaced_by_a_folder,
        replaced_by_a_pipe,
    ],
)
def test_what_is_not_what_was_written_is_compiled_again(cache: Path, compiler: Any, harm: Any) -> None:
    harm(library(cache, "spikes", compiler.run))
    path = library(cache, "spikes", compiler.run)
    assert len(compiler.calls) == 2
    assert path.read_bytes() == CONTENT
    assert not path.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def as_user(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: number)


def test_nothing_of_another_user_is_loaded(
    cache: Path, compiler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = library(cache, "spikes", compiler.run)
    as_user(monkeypatch, os.geteuid() + 1)
    assert not private_cache.is_sound(first)
    with pytest.raises(ForeignError, match=r"user-\d+ belongs to another user.*SPIKEMARK_CACHE"):
        library(cache, "spikes", compiler.run)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o2775])
def test_in_a_shared_cache_everybody_has_a_folder(cache: Path, compiler: Any, mode: int) -> None:
    cache.mkdir()
    cache.chmod(mode)
    path = library(cache, "spikes", compiler.run)
    assert path.parent.parent == cache
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o777 == 0o700
    assert stat.S_IMODE(cache.stat().st_mode) == mode  # it is not ours to change
    assert library(cache, "spikes", compiler.run) == path
    assert len(compiler.calls) == 1
    path.parent.chmod(0o777)
    assert private_folder(cache) == path.parent
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o777 == 0o700


def test_a_link_in_the_place_of_ones_own_folder_is_refused(cache: Path, tmp_path: Path) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    (tmp_path / "trap").mkdir()
    (cache / f"user-{os.geteuid()}").symlink_to(tmp_path / "trap")
    with pytest.raises(ForeignError, match="belongs to another user"):
        private_folder(cache)


def test_processes_that_ask_at_once_compile_once(cache: Path) -> None:
    calls: list[Path] = []

    def slow(path: Path) -> None:
        calls.append(path)
        time.sleep(0.3)
        path.write_bytes(CONTENT)

    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(library(cache, "spikes", slow))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(calls) == 1
    assert len(set(found)) == 1
    assert len(found) == 6


def test_a_process_that_was_killed_while_it_compiled_leaves_nothing(cache: Path, compiler: Any) -> None:
    cache.mkdir()
    (cache / ".spikes-killed").mkdir()
    (cache / ".spikes-killed" / "library.so").write_bytes(CONTENT[:99])
    (cache / "spikes.so").write_bytes(CONTENT)  # between the two renames
    library(cache, "spikes", compiler.run)
    assert len(compiler.calls) == 1
    assert not list(cache.glob(".spikes-*"))


@pytest.mark.parametrize("call", ["fsync", "replace", "read_bytes"])
def test_a_disk_that_fails_leaves_no_library_that_is_loaded(
    cache: Path, compiler: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    owner: Any = Path if call == "read_bytes" else os
    real = getattr(owner, call)
    for number in range(1, 10):
        calls: list[int] = []

        def failing(*arguments: Any, number: int = number, calls: list[int] = calls, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == number:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(owner, call, failing)
            try:
                library(cache, "spikes", compiler.run, anew=True)
            except OSError:
                pass
            else:
                break
        assert library(cache, "spikes", compiler.run).read_bytes() == CONTENT
    assert number > 1


def test_nobody_waits_for_ever_for_a_compiler(
    cache: Path, compiler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr(private_cache, "PATIENCE", 0.2)
    cache.mkdir(mode=0o700)
    with FileLock(cache / "spikes.lock"), pytest.raises(OSError, match=r"locked for 0.2 s"):
        library(cache, "spikes", compiler.run)


SWITCH = {
    **dict.fromkeys((None, "", "1", "true", "YES", "on"), True),
    **dict.fromkeys(("0", "false", "False", " no ", "OFF"), False),
}


@pytest.mark.parametrize(("said", "wanted"), SWITCH.items())
def test_the_switch_takes_words(monkeypatch: pytest.MonkeyPatch, said: str | None, wanted: bool) -> None:
    monkeypatch.delenv("SPIKEMARK_NATIVE", raising=False)
    if said is not None:
        monkeypatch.setenv("SPIKEMARK_NATIVE", said)
    assert _wanted() is wanted


def test_a_switch_that_says_neither_is_an_error(no_kernel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEMARK_NATIVE", "maybe")
    with pytest.raises(ConversionError, match="SPIKEMARK_NATIVE is 'maybe'; set it to 1 or 0"):
        kernel()


def test_the_compiler_may_have_arguments_and_spaces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", f"{sys.executable} -W 'a b'")
    assert _compiler() == [sys.executable, "-W", "a b"]
    spaced = tmp_path / "my compiler"
    spaced.write_text("#!/bin/sh\n")
    spaced.chmod(0o755)
    monkeypatch.setenv("CC", str(spaced))
    assert _compiler() == [str(spaced)]
    for said, match in (("'", "CC is no command"), ("/no/such -x", "CC names no program")):
        monkeypatch.setenv("CC", said)
        with pytest.raises(OSError, match=match):
            _compiler()


HABITS = {
    "prints without end": "yes ERROR >&2",
    "asks for input": "read word && exit 0; exit 3",
    "hangs": "sleep 600",
    "starts others that hang": "sleep 600 & sleep 600",
    "speaks another encoding": r"printf 'fehler: \\374\\033[31m' >&2; exit 1",
    "fails without a word": "exit 7",
    "is killed": "kill -9 $$",
    "prints on standard output": "yes | head -c 9000000; exit 1",
}


@pytest.mark.parametrize("habit", HABITS)
def test_a_compiler_with_bad_habits_is_one_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, habit: str
) -> None:
    monkeypatch.setattr(running, "SECONDS", 1.0)
    script = tmp_path / "cc"
    script.write_text(f"#!/bin/sh\n{HABITS[habit]}\n")
    script.chmod(0o755)
    with pytest.raises(OSError, match="cc -o out: ") as caught:
        running.run_compiler([str(script), "-o", "out"])
    assert len(str(caught.value)) < 1000 + len(str(tmp_path))
    mine = [each for each in psutil.Process().children(recursive=True) if each.status() != "zombie"]
    assert [each for each in mine if each.name() in ("cc", "sleep", "yes")] == []
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if str(script) in (each.info["cmdline"] or ())
    ]


def test_a_daemon_that_a_compiler_leaves_behind_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(running, "GOODBYE", 0.1)
    script = tmp_path / "cc"
    script.write_text(f"#!/bin/sh\nsetsid sleep 600 & echo $! > {tmp_path}/pid; echo no >&2; exit 1\n")
    script.chmod(0o755)
    try:
        with pytest.raises(OSError, match="cc: no"):
            running.run_compiler([str(script)])
    finally:
        psutil.Process(int((tmp_path / "pid").read_text())).kill()


def test_a_compiler_that_cannot_start_leaves_nothing_open(tmp_path: Path) -> None:
    script = tmp_path / "cc"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    for _ in range(4):
        with pytest.raises(OSError, match=r"interpreter|exec format|No such file"):
            running.run_compiler([str(script)])
    end = time.monotonic() + 10
    while [each for each in threading.enumerate() if "_listen" in each.name] and time.monotonic() < end:
        time.sleep(0.01)
    assert not [each for each in threading.enumerate() if "_listen" in each.name]


def test_what_a_compiler_starts_does_not_outlive_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(running, "SECONDS", 1.0)
    script = tmp_path / "cc"
    script.write_text(f"#!/bin/sh\nsleep 600 & echo $! > {tmp_path}/pid; wait\n")
    script.chmod(0o755)
    with pytest.raises(OSError, match="not done within 1 s"):
        running.run_compiler([str(script)])
    pid = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" and time.monotonic() < end:
        time.sleep(0.01)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


@pytest.mark.skipif(kernel() is None, reason="no C compiler on this machine")
@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("int unrelated;", "undefined symbol"),
        ("long long has_synapses(void) { return 1; }", "undefined symbol"),
    ],
)
def test_a_library_of_something_else_is_one_warning(
    no_kernel: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, why: str
) -> None:
    """As a compiler that ignores its sources leaves it."""
    real = _compiler()[0]
    (tmp_path / "other.c").write_text(source)
    script = tmp_path / "cc"
    script.write_text(
        f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\n{real} -shared -fPIC {tmp_path}/other.c -o "$2"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    monkeypatch.setenv("SPIKEMARK_CACHE", str(tmp_path / "cache"))
    with pytest.warns(RuntimeWarning, match=why):
        assert kernel() is None


def test_a_cache_that_cannot_be_written_says_the_way_out(
    no_kernel: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def closed(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", closed)
    monkeypatch.setenv("SPIKEMARK_CACHE", str(tmp_path / "cache"))
    with pytest.warns(RuntimeWarning, match="Read-only file system.*Set SPIKEMARK_CACHE to a folder"):
        assert kernel() is None


NOBODY = """
import os
os.setuid(54321)  # as containers start programs: a user that nobody knows
from conversion.simulation.caching import cache_folder
print(cache_folder())
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may become another")
@pytest.mark.parametrize("home", [None, "", "relative", "/"])
def test_a_user_without_a_home_has_a_cache(home: str | None) -> None:
    surroundings = {key: value for key, value in os.environ.items() if "CACHE" not in key and key != "HOME"}
    surroundings |= {} if home is None else {"HOME": home}
    done = subprocess.run([sys.executable, "-c", NOBODY], env=surroundings, capture_output=True, text=True)
    if "ModuleNotFoundError" not in done.stderr:  # whose folders that user may not read
        assert Path(done.stdout.strip()).is_absolute(), done.stderr


@pytest.mark.parametrize("found", [Path("~/.cache/spikemark"), RuntimeError("no home")])
def test_a_home_that_nobody_knows_is_no_folder(monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    import platformdirs

    def user_cache_path(*_: Any, **__: Any) -> Path:
        if isinstance(found, Exception):
            raise found
        return Path(found)

    monkeypatch.delenv("SPIKEMARK_CACHE", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", user_cache_path)
    assert cache_folder().is_absolute()


DAMAGED = """
import os, sys
from pathlib import Path
from conversion.simulation.compiled.native import kernel, private_cache

def ends_with():
    child = os.fork()
    if child == 0:
        os._exit(0 if kernel() is not None else 9)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

assert ends_with() == 0
(path,) = Path(os.environ["SPIKEMARK_CACHE"]).glob("spikes-*.so")
whole = path.read_bytes()
for damaged in (whole[:4096], b"", whole[:9000] + bytes([whole[9000] ^ 1]) + whole[9001:]):
    path.write_bytes(damaged)
    assert ends_with() == 0
    assert private_cache.is_sound(path) and path.read_bytes() == whole
"""


@pytest.mark.skipif(kernel() is None, reason="no C compiler on this machine")
def test_a_damaged_kernel_kills_nobody(tmp_path: Path) -> None:
    """The whole way, by processes of their own: a truncated file used to end them with SIGBUS.

    What is compiled takes a minute and is beside the point: the compiler copies what was compiled before.
    """
    built, compiler = kernel(), tmp_path / "copies"
    assert built is not None
    compiler.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\ncp "{built._name}" "$2"\n')
    compiler.chmod(0o755)
    surroundings = {**os.environ, "SPIKEMARK_CACHE": str(tmp_path / "cache"), "CC": str(compiler)}
    done = subprocess.run([sys.executable, "-c", DAMAGED], env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
