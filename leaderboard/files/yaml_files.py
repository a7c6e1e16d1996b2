"""The one way in which YAML is read here: strictly, with the line of everything that is wrong.

What YAML lets pass in silence is an error: a key that stands twice, words whose meaning is not clear (see
`leaderboard.files.yaml_words`). Files that would cost much time or memory are refused while they are read:
what a file holds is counted with its aliases resolved, so that ten lines cannot stand for a billion values.
Anchors, aliases and merged mappings (`<<`) are read; tags are not, but for YAML's own plain ones.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from leaderboard.files.plain_files import read_plain
from leaderboard.files.yaml_words import WordError, is_loose_truth, meaning, shown

LONGEST = 2**20  # bytes of a file
DEEPEST = 50  # mappings and lists inside of each other
MOST = 20_000  # values, those that aliases repeat included
LISTED = 20  # problems in a message
_TAGS = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C where there is one: ten times faster

Location = tuple[Hashable, ...]  # keys and positions that lead to a value


class YamlError(ValueError):
    """A file is no YAML that can be read without a doubt; names the file, and the line of each problem."""


@dataclass(frozen=True)
class Place:
    """Where a value stands, and the word that it was read from: none for text in quotes and collections."""

    line: int
    value: Any
    word: str | None = None


@dataclass(frozen=True)
class Document:
    """What a file of YAML holds.

    Attributes:
        content: mappings, lists, text, numbers, truth values and None.
        places: where each value stands.
    """

    content: Any
    places: dict[Location, Place]

    def place(self, location: Location) -> Place | None:
        """Where a value stands, or else the nearest one around it; None for the whole file."""
        known = self._known(location)
        return self.places[known] if known else None

    def loose_words(self, location: Location) -> list[Place]:
        """Words yes, no, on and off at a place or below it; or at the nearest place around it."""
        known = self._known(location)
        return [
            place
            for where, place in self.places.items()
            if where[: len(known)] == known and place.word is not None and is_loose_truth(place.word)
        ]

    def _known(self, location: Location) -> Location:
        while location and location not in self.places:
            location = location[:-1]
        return location


def read_file(path: Path) -> Document:
    """Read a file.

    Raises:
        YamlError: it cannot be read, is too large, or is not YAML without a doubt; names file and lines.
    """
    try:
        text = read_plain(path, LONGEST).decode("utf-8-sig")
    except OSError as error:
        raise YamlError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise YamlError(f"{path}: cannot be read: {error}") from error
    return read_text(text, str(path))


def read_text(text: str, source: str) -> Document:
    """Read text.

    Args:
        text: YAML, one document.
        source: what messages call it, a file's path for example.

    Raises:
        YamlError: it is too large, or not YAML without a doubt; names source and lines.
    """
    if len(text) > LONGEST:
        raise YamlError(f"{source}: has {len(text)} characters; at most {LONGEST} are read")
    reader = _Reader(source)
    try:
        content = reader.document(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise YamlError(f"{where}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise YamlError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from error
    if reader.problems:
        more = len(reader.problems) - LISTED
        rest = [f"and {more} more"] if more > 0 else []
        raise YamlError("\n".join([*reader.problems[:LISTED], *rest]))
    return Document(content, reader.places)


def yaml_text(content: Any, width: int = 110) -> str:
    """Return content as YAML that `read_text` reads back as the same."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes text that would be read as something else."""


def _text(dumper: yaml.SafeDumper, text: str) -> Any:
    try:
        plain = meaning(text) == text
    except WordError:
        plain = False
    return dumper.represent_scalar(f"{_TAGS}str", text, style=None if plain else "'")


_Dumper.add_representer(str, _text)


@dataclass
class _Reader:
    """Turns the parser's events into values, and keeps what is wrong."""

    source: str
    problems: list[str] = field(default_factory=list)
    places: dict[Location, Place] = field(default_factory=dict)
    _anchors: dict[str, tuple[Any, int] | None] = field(default_factory=dict)  # value, size; None: unfinished
    _count: int = 0

    def document(self, events: Iterator[Any]) -> Any:
        """Read the only document of a stream; None where there is none."""
        next(events)  # the stream's start
        if isinstance(next(events), yaml.StreamEndEvent):
            return None
        content = self._node(next(events), events, (), 0)
        next(events)  # the document's end
        further = next(events)
        if not isinstance(further, yaml.StreamEndEvent):
            raise self._fatal(further, "a second document begins; write one alone")
        return content

    def _node(self, event: Any, events: Iterator[Any], where: Location, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._count
        self._grow(event, 1)
        if depth > DEEPEST:
            raise self._fatal(event, f"lists and mappings lie more than {DEEPEST} deep inside of each other")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            value, word = self._scalar(event)
            self.places[where] = Place(_line(event), value, word)
        else:
            self._check_tag(event, "seq" if isinstance(event, yaml.SequenceStartEvent) else "map")
            inside = self._list if isinstance(event, yaml.SequenceStartEvent) else self._mapping
            value = inside(events, where, depth)
            self.places[where] = Place(_line(event), value)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._count - before
        return value

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise self._fatal(event, f"*{event.anchor} repeats something that stands nowhere before it")
        known = self._anchors[event.anchor]
        if known is None:
            raise self._fatal(event, f"*{event.anchor} stands inside of what it repeats")
        value, size = known
        self._grow(event, size)
        return value

    def _list(self, events: Iterator[Any], where: Location, depth: int) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            values.append(self._node(event, events, (*where, len(values)), depth + 1))
        return values

    def _mapping(self, events: Iterator[Any], where: Location, depth: int) -> dict[Any, Any]:
        merged: dict[Any, Any] = {}
        own: dict[Any, Any] = {}
        lines: dict[Any, int] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            merges = isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value == "<<"
            key = "<<" if merges else self._key(event)
            line = _line(event)
            value = self._node(next(events), events, (*where, key), depth + 1)
            if key in lines:
                first = f"{self.source}:{lines[key]}"
                self._problem(
                    event, f"the key {shown(str(key))} stands here and in {first}; keep one of them"
                )
            elif merges:
                merged = self._merged(event, value)
            else:
                own[key] = value
            lines.setdefault(key, line)
        return {**merged, **own}

    def _key(self, event: Any) -> Any:
        if isinstance(event, yaml.AliasEvent):
            key = self._alias(event)
            if not isinstance(key, list | dict):
                return key
        if not isinstance(event, yaml.ScalarEvent):
            raise self._fatal(event, "a key must be a name or a number, not a list or a mapping")
        self._grow(event, 1)
        key, word = self._scalar(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = key, 1
        if word is not None and is_loose_truth(word):
            self._problem(event, f"the key {shown(word)} is read as {spelt(key)}; put quotes round a name")
        return key

    def _merged(self, event: Any, value: Any) -> dict[Any, Any]:
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            raise self._fatal(event, "<< takes a mapping, or a list of mappings")
        return {key: one for part in reversed(parts) for key, one in part.items()}

    def _scalar(self, event: Any) -> tuple[Any, str | None]:
        """A value, and the word that it was read from."""
        kind = None if event.tag is None else event.tag.removeprefix(_TAGS)
        if kind not in _TYPES and not (kind is None and event.implicit[0]):
            self._check_tag(event, "str")
            return event.value, None
        known = len(self.problems)
        value = self._meaning(event)
        if kind is not None and len(self.problems) == known and not isinstance(value, _TYPES[kind]):
            self._problem(event, f"{shown(event.value)} is no {kind}, as its tag says")
        return value, event.value

    def _meaning(self, event: Any) -> Any:
        try:
            return meaning(event.value)
        except WordError as error:
            self._problem(event, str(error))
            return event.value

    def _check_tag(self, event: Any, *kinds: str) -> None:
        if event.tag not in (None, "!", *(f"{_TAGS}{kind}" for kind in kinds)):
            self._problem(event, f"the tag {event.tag.replace(_TAGS, '!!')} is not read; leave it out")

    def _grow(self, event: Any, size: int) -> None:
        self._count += size
        if self._count > MOST:
            raise self._fatal(event, f"the file stands for more than {MOST} values, aliases included")

    def _problem(self, event: Any, what: str) -> None:
        self.problems.append(f"{self.source}:{_line(event)}: {what}")

    def _fatal(self, event: Any, what: str) -> YamlError:
        return YamlError(f"{self.source}:{_line(event)}: {what}")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def spelt(value: Any) -> str:
    """A value as YAML spells it."""
    return str(value).lower() if isinstance(value, bool) else repr(value)
