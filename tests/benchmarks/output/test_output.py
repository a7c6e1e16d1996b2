"""What others wrote is shown and never obeyed; output that goes nowhere ends no work."""

from __future__ import annotations

import ast
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

import benchmarks
from benchmarks.output import Screen, escaped, printable, say, shown

CODES = {
    "escape": "\x1b[31mred",
    "title": "\x1b]0;pwned\x07",
    "C1": "\x9b31m",
    "return": "real\rfake",
    "backspace": "a\x08b",
    "direction": "a\u202egpj.exe",
    "isolate": "a\u2066b\u2069",
    "mark": "a\u200fb",
    "invisible": "a\u200bb",
    "line": "a\u2028b",
    "deleted": "a\x7fb",
    "zero": "a\0b",
    "half a character": "a\udc9bb",
}
ORDINARY = ["plain", "Größe → 5 %", "学習率", "a\u00a0b\u2009c", "🧠", "e\u0301", ""]


def harmful(text: str) -> list[str]:
    """Independent of the code: controls, marks of direction, invisible ones, separators, surrogates."""
    ranges = [(0, 8), (11, 31), (127, 159), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F)]
    ranges.append((0xD800, 0xDFFF))
    return [each for each in text if any(low <= ord(each) <= high for low, high in ranges)]


@pytest.mark.parametrize("text", CODES.values(), ids=CODES)
def test_codes_are_shown_as_marks(text: str) -> None:
    for encoded in (printable(text), shown(text)):
        assert not harmful(encoded)
        assert len(encoded) == len(text)
    assert printable("two\nlines") == "two\ufffdlines"
    assert shown("two\r\nlines\tof") == "two\nlines\tof"


@pytest.mark.parametrize("text", ORDINARY)
def test_what_can_be_seen_stays(text: str) -> None:
    assert printable(text) == shown(text) == escaped(text) == text


@pytest.mark.parametrize("text", [*CODES.values(), *ORDINARY])
def test_json_means_the_same_with_escapes(text: str) -> None:
    raw = json.dumps({"name": text, "list": [text]}, ensure_ascii=False, indent=1)
    encoded = escaped(raw)
    assert not harmful(encoded)
    assert json.loads(encoded) == {"name": text, "list": [text]}


@pytest.mark.parametrize("text", CODES.values(), ids=CODES)
def test_no_way_to_the_screen_lets_codes_through(text: str) -> None:
    file = io.StringIO()
    screen = Screen(file=file, width=60)
    table = Table(text, title=text)
    table.add_row(text)
    table.add_row(Text(text))
    for each in (text, Text(text), table):
        screen.print(each)
    screen.rule(text)
    with Progress(TextColumn("{task.description}", markup=False), console=screen) as bars:
        bars.add_task(text)
    assert not harmful(file.getvalue())


def test_colours_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    Screen(file=file, force_terminal=True, color_system="standard").print(Text("\x1b[31mx", style="bold"))
    assert file.getvalue() == "\x1b[1m\ufffd[31mx\x1b[0m\n"


@pytest.mark.parametrize("text", ["r[/b]", "[bold]r", "a :warning: b", "[link=x]y", "\\[x]"])
def test_words_are_no_markup(text: str) -> None:
    file = io.StringIO()
    screen = Screen(file=file, width=60)
    table = Table(box=None, show_header=False)
    table.add_row(text)
    screen.print(text)
    screen.print(table)
    assert [line.strip() for line in file.getvalue().splitlines()] == [text, text]


@pytest.mark.parametrize("size", ["0", "00", "-3", "\u00b2", "9" * 30, "wide", ""])
def test_sizes_that_no_terminal_has_do_not_count(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    file = io.StringIO()
    for name in ("COLUMNS", "LINES"):
        monkeypatch.setenv(name, size)
    screen = Screen(file=file)
    screen.print("words " * 20)
    screen.rule("title")
    lines = file.getvalue().splitlines()
    assert " ".join(lines[:-1]).split() == ["words"] * 20
    assert "title" in lines[-1]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("columns", ["1", "20", "300"])
def test_sizes_of_terminals_count(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    file = io.StringIO()
    Screen(file=file).rule()
    assert file.getvalue() == "─" * int(columns) + "\n"


@pytest.mark.parametrize(
    ("encoding", "seen"),
    [
        ("ascii", r"\u2016r - a\u2016 <= \xbd \ufffd \ufffd"),
        ("latin-1", r"\u2016r - a\u2016 <= ½ \ufffd \ufffd"),
        ("utf-8", "‖r − a‖ ≤ ½ \ufffd \ufffd"),
    ],
)
def test_every_terminal_gets_what_it_can_show(
    monkeypatch: pytest.MonkeyPatch, encoding: str, seen: str
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    say("‖r − a‖ ≤ ½ \x9b \udc80")
    assert raw.getvalue().decode(encoding) == f"{seen}\n"


def test_nothing_prints_past_the_encoder() -> None:
    """Every echo of the command goes through `benchmarks.output`."""
    root = Path(benchmarks.__file__).parent
    past = []
    for path in sorted(root.rglob("*.py")):
        # The script for GPUs is no part of the command and runs where rich is not installed.
        if path.is_relative_to(root / "output") or path.is_relative_to(root / "gpu"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            sink = called == "Console" and any(word.arg == "file" for word in node.keywords)
            writes = ("print", "click.echo", "click.secho", "Console", "sys.stdout.write", "sys.stderr.write")
            if called in writes and not sink:
                past.append(f"{path.relative_to(root)}:{node.lineno} {called}")
    assert past == []


def spikemark(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """The command as people start it."""
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    command = [sys.executable, "-c", "from benchmarks.cli import main; main()", *words]
    return subprocess.run(command, env=surroundings, check=False, **{"capture_output": True, **options})


ODD = "\x1b]0;pwned\x07\x9b31m\u202e"


@pytest.mark.parametrize(
    "words",
    [
        (f"--{ODD}",),
        (ODD,),
        ("list", ODD),
        ("run", f"{ODD}.yaml"),
        ("status", "--results", ODD),
        ("status", ODD),
        ("import", ODD),
        ("leaderboard", "--results", ODD),
        ("leaderboard", "--t", ODD),
        ("compare", ODD, ODD),
        ("results", ODD),
    ],
    ids=lambda words: words[0].replace(ODD, "odd"),
)
def test_no_complaint_repeats_codes(words: tuple[str, ...], tmp_path: Path) -> None:
    done = spikemark(*words, cwd=tmp_path)
    assert done.returncode != 0
    assert done.stderr
    text = (done.stdout + done.stderr).decode()
    assert not harmful(text)
    assert "Traceback" not in text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
@pytest.mark.parametrize("words", [("list", "matrices"), ("--help",), ("published",), ("--version",)])
def test_a_full_standard_output_is_one_message(words: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = spikemark(*words, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == 1
    assert done.stderr == b"spikemark: standard output could not be written: No space left on device\n"


def test_nobody_listening_is_no_error_worth_words() -> None:
    read, written = os.pipe()
    os.close(read)
    done = spikemark("published", stdout=written, stderr=subprocess.PIPE, capture_output=False)
    os.close(written)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "code"), [("list matrices", 0), ("published", 0), ("status --results none", 1), ("nonsense", 2)]
)
def test_closed_streams_are_no_traceback(words: str, code: int, closed: str, tmp_path: Path) -> None:
    """As daemons start programs."""
    command = f"{sys.executable} -c 'from benchmarks.cli import main; main()' {words} {closed}"
    done = subprocess.run(["sh", "-c", command], check=False, capture_output=True, cwd=tmp_path)
    lost = closed != "2>&-" and code == 0
    assert done.returncode == (1 if lost else code)
    assert b"Traceback" not in done.stderr
    if closed == ">&-" and lost:
        assert done.stderr == b"spikemark: standard output could not be written: Bad file descriptor\n"


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """What a library prints would go into that file."""
    look = "import os; f = open('record', 'w'); os._exit(f.fileno())"
    code = f"from benchmarks.output.streams import lasting_output\nwith lasting_output(): {look}"
    command = f'{sys.executable} -c "{code}" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", command], check=False, cwd=tmp_path).returncode > 2


def test_a_pipe_that_does_not_wait_gets_everything() -> None:
    """Some programs give their own pipe to those that they start."""
    read, written = os.pipe()
    os.set_blocking(written, False)
    code = (
        "from benchmarks.output.streams import lasting_output\n"
        "with lasting_output():\n"
        "    for number in range(40_000): print(f'{number:06d}')"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=written, stderr=subprocess.PIPE) as done:
        os.close(written)
        with open(read, "rb") as stream:
            found = stream.read()
        assert done.wait() == 0
    assert found.split() == [b"%06d" % number for number in range(40_000)]


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_tables_reach_terminals_of_few_characters(encoding: str) -> None:
    done = spikemark("published", env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding)


def test_a_terminal_gets_colours_and_no_codes_of_others(tmp_path: Path) -> None:
    outer, inner = pty.openpty()
    done = spikemark(
        "leaderboard", "--results", ODD, cwd=tmp_path, stdout=inner, stderr=inner, capture_output=False
    )
    os.close(inner)
    assert done.returncode == 1
    text = os.read(outer, 10_000).decode()
    os.close(outer)
    assert "no records in" in text
    assert "\x1b" not in text
    assert "\x9b" not in text
