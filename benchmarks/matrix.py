"""Find and read matrix files, with errors that name the file, the field and the nearest valid name."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from benchmarks.errors import MatrixError
from leaderboard.files.yaml_files import Document, Location, YamlError, read_file, spelt
from leaderboard.files.yaml_words import shown
from spikemark_plugins.names import closest

if TYPE_CHECKING:
    from benchmarks.spec import Matrix

LONGEST_SHOWN = 200  # characters of a path in a message


def bundled() -> dict[str, Path]:
    """Matrices that come with SpikeMark: name -> file."""
    folder = Path(str(resources.files("benchmarks"))) / "matrices"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def locate(matrix: str) -> Path:
    """File of a matrix, given by path or by the name of a bundled one.

    Raises:
        MatrixError: neither exists; names the nearest bundled one.
    """
    path = Path(matrix)
    with contextlib.suppress(OSError, ValueError):  # no name that a file can have
        if path.is_file():
            return path
    known = bundled()
    if matrix in known:
        return known[matrix]
    near = closest(path.stem, known)
    hint = f" Did you mean '{near}'?" if near else ""
    raise MatrixError(
        f"no matrix file '{matrix[:LONGEST_SHOWN]}', and no bundled matrix of that name"
        f" ({', '.join(known)}).{hint}"
    )


def load(path: Path) -> Matrix:
    """Read and validate a matrix file.

    Raises:
        MatrixError: not readable, not YAML without a doubt, or a field is wrong; lists everything that is
            wrong, with its line.
    """
    from benchmarks.spec import Matrix  # knows every network and data set, so it is slow to import

    try:
        document = read_file(path)
    except YamlError as error:
        raise MatrixError(str(error)) from error
    if not isinstance(document.content, dict):
        raise MatrixError(f"{path}: expected fields such as name, datasets, networks, recipes, time_steps")
    try:
        return Matrix.model_validate(document.content)
    except ValidationError as error:
        problems = "\n".join(f"  {_explain(Matrix, problem, document)}" for problem in error.errors())
        raise MatrixError(f"{path}:\n{problems}") from error


def _explain(model: type[BaseModel], problem: Any, document: Document) -> str:
    location = [
        part for part in problem["loc"] if not (isinstance(part, str) and part.startswith("function-"))
    ]
    field = ".".join(str(part) for part in location) or "the matrix"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        valid = _fields_at(model, location[:-1])
        near = closest(location[-1], valid)
        hint = f"did you mean '{near}'? " if near else ""
        message = f"unknown field; {hint}valid: {', '.join(valid)}"
    return f"{field}: {message}{_read_as(problem, tuple(location), document)}"


def _read_as(problem: Any, location: Location, document: Document) -> str:
    """Where the value stands, and which words of it may have been meant otherwise."""
    place = document.place(location)
    if place is None:
        return ""
    said = f" (line {place.line})"
    if problem["type"] == "value_error" and not re.search("true|false", problem["msg"], re.IGNORECASE):
        return said
    loose = [one for one in document.loose_words(location) if one.word is not None]
    for one in loose[:1]:
        said += (
            f"; line {one.line} has {shown(one.word or '')}, which is read as {spelt(one.value)}: put quotes"
            " round it if it is a name"
        )
    if not loose and place.word is not None and problem["type"] == "string_type":
        said += f"; {shown(place.word)} is read as {spelt(place.value)}: put quotes round it if it is a name"
    return said


def _fields_at(model: type[BaseModel], location: Iterable[Any]) -> list[str]:
    """Names of the fields that the model at this place of the file has."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        annotation = current.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        current = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(current.model_fields)
