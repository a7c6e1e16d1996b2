"""YAML is read strictly: what it lets pass in silence is an error with its line, and no file costs much."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from leaderboard.files import yaml_files
from leaderboard.files.yaml_files import YamlError, read_file, read_text, yaml_text
from leaderboard.files.yaml_words import WordError, meaning

ROOT = Path(__file__).parents[3]
BUNDLED = sorted(path for folder in ("benchmarks", "leaderboard") for path in (ROOT / folder).rglob("*.yaml"))


@pytest.fixture(params=["C", "Python"], autouse=True)
def parser(request, monkeypatch):
    """Both parsers must agree: the one in C is not there on every machine."""
    if request.param == "Python":
        monkeypatch.setattr(yaml_files, "_Loader", yaml.SafeLoader)


def refused(text: str) -> str:
    with pytest.raises(YamlError) as caught:
        read_text(text, "m.yaml")
    return str(caught.value)


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_what_is_written_without_doubt_reads_as_ever(path):
    text = path.read_text()
    assert read_text(text, "x").content == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "a",
        "- 1\n- [2, {b: 3}]",
        "a: &x [1, 2]\nb: *x\nc: {d: *x}",
        "base: &b {p: 1, q: 2}\nuse: {<<: *b, q: 3}\nother:\n  <<: [*b, {q: 9, r: 4}]\n  s: 5",
        "a: 'x: y'\nb: \"010\"\nc: '1:30'\nd: 'off'",
        "a: |\n  yes\n  010\nb: >-\n  folded\n  text",
        "a: -1\nb: +2\nc: 0x1F\nd: 1_000\ne: -1.5\nf: .5\ng: 1.0e-05\nh: 2.5E+3\ni: 0\nj: 0.0",
        "a: ~\nb:\nc: null\nd: true\ne: False\nf: yes\ng: OFF",
        "1: a\n2.5: b\nnull: c\n? plain\n: d",
        "b: !!str 5\nc: !!int 5\nd: !!float 5.5\ne: !!seq [1]\nf: !!map {g: 1}",
        "\ufeffa: 1",
        "---\na: 1\n...\n",
        "a: at 12:30 today\nb: 1.2.3\nc: 3x\nd: +x\ne: .x\nf: v0",
    ],
)
def test_agreement_with_the_usual_reader_where_there_is_no_doubt(text):
    assert read_text(text, "x").content == yaml.safe_load(text)


@pytest.mark.parametrize(("word", "value"), [("1e3", 1000.0), ("1E-3", 0.001), ("2024-01-01", "2024-01-01")])
def test_scientific_numbers_are_numbers_and_dates_are_text(word, value):
    assert read_text(f"a: {word}", "x").content == {"a": value}
    assert type(meaning(word)) is type(value)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\nb: 2\na: 3\n", [(3, 1)]),
        ("a: {b: 1,\n    b: 2}", [(2, 1)]),
        ("x:\n  - {a: 1}\n  - a: 1\n    'a': 2\n", [(4, 3)]),
        ("1: a\n1: b", [(2, 1)]),
        ("a: 1\na: 1", [(2, 1)]),
        ("a: &k b\n*k : 1\nb: 2", [(3, 2)]),
        ("<<: {a: 1}\n<<: {b: 1}", [(2, 1)]),
        ("a: 1\nb: {c: 1, c: 2}\na: 2\nb: 3\na: 4", [(2, 2), (3, 1), (4, 2), (5, 1)]),
    ],
)
def test_a_key_that_stands_twice_is_named_with_both_lines(text, lines):
    problems = refused(text).splitlines()
    assert len(problems) == len(lines)
    for problem, (second, first) in zip(problems, lines, strict=True):
        assert problem.startswith(f"m.yaml:{second}: the key")
        assert f"and in m.yaml:{first};" in problem


@pytest.mark.parametrize("text", ["a: {b: 1}\nc: {b: 1}", "x: &x {a: 1}\ny: {<<: *x, a: 2}", "a: 1\nA: 2"])
def test_keys_of_other_mappings_and_merged_ones_are_not_twice(text):
    assert read_text(text, "x").content == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("010", "is 8, in base 8, in YAML 1.1 and `10` elsewhere"),
        ("-010", "is -8, in base 8"),
        ("0777", "`777` elsewhere"),
        ("08", "is not a number in YAML 1.1 and `8` elsewhere"),
        ("00", "`0` elsewhere"),
        ("1:30", "is 90, in base 60"),
        ("-1:30", "is -90, in base 60"),
        ("1:30:00", "is 5400, in base 60"),
        ("190:20:30.15", "in base 60"),
        ("0o17", "write it in decimal"),
        ("0b101", "write it in decimal"),
        (".inf", "is not a finite number"),
        ("-.INF", "is not a finite number"),
        (".nan", "is not a finite number"),
        (".NaN", "is not a finite number"),
        ("1e999", "too large to be a number"),
        ("9" * 19, "more than 18 digits"),
        ("-" + "9" * 5000, "(5001 characters) is a whole number of more than 18 digits"),
        ("0" * 5000, "`0` elsewhere"),
        ("0x" + "f" * 5000, "more than 18 digits"),
    ],
)
def test_words_whose_meaning_is_not_clear_are_refused(word, said):
    message = refused(f"a:\n  - [1, {word}]")
    assert message.startswith("m.yaml:2: `")
    assert said in message
    assert len(message) < 300
    assert read_text(f"a: '{word}'", "x").content == {"a": word}
    if len(word) < 1000:  # longer keys are no YAML
        assert f"`{word[:40]}" in refused(f"{word}: a")


def test_every_problem_is_listed_at_once_up_to_a_limit():
    assert len(refused("a: 010\nb: 1:30\na: .inf").splitlines()) == 4
    assert refused("\n".join(f"k{i}: 010" for i in range(50))).splitlines()[-1] == "and 30 more"


@pytest.mark.parametrize("word", ["yes", "No", "ON", "off"])
def test_a_key_that_reads_as_a_truth_value_is_refused(word):
    assert f"m.yaml:1: the key `{word}` is read as" in refused(f"{word}: 1")
    assert read_text(f"'{word}': 1", "x").content == {word: 1}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: [1", None, "not valid YAML"),
        ("a: b: c", 1, "not valid YAML"),
        ("a: 1\n\tb: 2", 2, "not valid YAML"),
        ("a: '", None, "not valid YAML"),
        ("a: 1\n---\nb: 2", 2, "a second document"),
        (
            "a: 1\nb: !!python/object/apply:os.getcwd []",
            2,
            "the tag !!python/object/apply:os.getcwd is not read",
        ),
        ("a: !own x", 1, "the tag !own is not read"),
        ("a: !!set {x}", 1, "the tag !!set is not read"),
        ("a: !!binary aGk=", 1, "the tag !!binary is not read"),
        ("a: !!int x", 1, "`x` is no int, as its tag says"),
        ("\n? [1, 2]\n: 3", 2, "a key must be a name or a number"),
        ("a: &x [1]\n*x : 3", 2, "a key must be a name or a number"),
        ("a: *b", 1, "*b repeats something that stands nowhere before it"),
        ("a: &a [1, *a]", 1, "*a stands inside of what it repeats"),
        ("a: &a {b: *a}", 1, "*a stands inside of what it repeats"),
        ("<<: 3", 1, "<< takes a mapping"),
    ],
)
def test_what_is_no_plain_yaml_is_named_with_its_line(text, line, said):
    message = refused(text)
    assert said in message
    assert message.startswith("m.yaml:" if line is None else f"m.yaml:{line}: ")
    assert "\n" not in message


def test_control_characters_and_other_encodings_are_named(tmp_path):
    assert "m.yaml: not valid YAML" in refused("a: \x01")
    file = tmp_path / "m.yaml"
    file.write_text("a: é", encoding="latin-1")
    with pytest.raises(YamlError, match=r"m\.yaml: cannot be read"):
        read_file(file)
    with pytest.raises(YamlError, match=r"gone\.yaml: cannot be read"):
        read_file(tmp_path / "gone.yaml")
    with pytest.raises(YamlError, match="cannot be read"):
        read_file(tmp_path)


BOMBS = {
    "billion laughs": "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)),
    "merged laughs": "a0: &a0 {k: x}\n"
    + "".join(f"a{i}: &a{i} {{{', '.join(f'k{j}: *a{i - 1}' for j in range(10))}}}\n" for i in range(1, 12)),
    "nested lists": "a: " + "[" * 100_000,
    "nested and closed": "a: " + "[" * 200 + "]" * 200,
    "nested mappings": "{a: " * 100_000,
    "nested keys": "? " * 100_000,
    "indented": "".join(" " * i + "a:\n" for i in range(1000)),
    "dashes": "- " * 100_000,
    "many values": "a: [" + "1," * 200_000 + "1]",
    "too long": "# " + "x" * 2**21,
    "long number": "a: " + "7" * 1_000_000,
    "long float": "a: 1." + "7" * 1_000_000,
    "long base 60": "a: " + "1:" * 300_000 + "1",
}


@pytest.mark.parametrize("name", [name for name in BOMBS if name != "long float"])
def test_bombs_are_one_short_error(name):
    message = refused(BOMBS[name])
    assert message.startswith("m.yaml")
    assert "\n" not in message
    assert len(message) < 300


def test_bombs_take_little_memory(tmp_path):
    """In a process of its own, because a peak is all that can be read."""
    for name, text in BOMBS.items():
        (tmp_path / name).write_text(text)
    code = (
        "import resource, sys, pathlib\nfrom leaderboard.files.yaml_files import *\n"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for file in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    try: read_file(file)\n    except YamlError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100 * 1024  # KiB


def test_places_lead_to_lines_and_words():
    document = read_text("a:\n  - x: on\n    y: 3\n  - 'off'\nb: &b [no]\nc: *b\n", "x")
    assert document.place(("a", 0, "x")).line == 2
    assert document.place(("a", 0, "x", "deeper")).line == 2
    assert document.place(("a",)).line == 2
    assert document.place(("b", 0)).word == "no"
    assert document.place(()) is None
    assert document.place(("gone",)) is None
    assert [place.word for place in document.loose_words(("a",))] == ["on"]
    assert document.place(("a", 1)).word is None


AWKWARD = [
    "010",
    "1:30",
    "yes",
    "off",
    "1e3",
    ".inf",
    "08",
    "null",
    "~",
    "",
    "5",
    "0x1",
    "a: b",
    "- a",
    "é",
    "2024-01-01",
]
AWKWARD += [
    "'",
    '"',
    "#",
    "a\nb",
    " x ",
    "true",
    "0o7",
    "1_0",
    "<<",
    "=",
    "*a",
    "&a",
    "!a",
    "%",
    "@",
    "9" * 30,
]


@pytest.mark.parametrize("text", AWKWARD)
def test_what_is_written_is_read_back(text):
    content = {"a": [text, {"b": text}], "n": [1, -2, 0.5, 1e-9, 1e300, True, False, None]}
    written = yaml_text(content)
    assert read_text(written, "x").content == content
    assert yaml.safe_load(written)["a"] == content["a"]


def test_keys_are_written_so_that_they_are_read_back():
    content = dict.fromkeys(AWKWARD, 1)
    assert read_text(yaml_text(content), "x").content == content


def test_words_raise_on_their_own():
    with pytest.raises(WordError, match="in base 8"):
        meaning("017")
