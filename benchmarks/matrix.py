"""Find and read matrix files, with errors that name the file, the field and the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from benchmarks.errors import MatrixError

if TYPE_CHECKING:
    from benchmarks.spec import Matrix


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
    if path.is_file():
        return path
    known = bundled()
    if matrix in known:
        return known[matrix]
    close = difflib.get_close_matches(path.stem, known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise MatrixError(
        f"no matrix file '{matrix}', and no bundled matrix of that name ({', '.join(known)}).{hint}"
    )


def load(path: Path) -> Matrix:
    """Read and validate a matrix file.

    Raises:
        MatrixError: not readable, not YAML, or a field is wrong; lists every wrong field.
    """
    from benchmarks.spec import Matrix  # knows every network and data set, so it is slow to import

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise MatrixError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise MatrixError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise MatrixError(f"{path}: expected fields such as name, datasets, networks, recipes, time_steps")
    try:
        return Matrix.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(f"  {_explain(Matrix, problem)}" for problem in error.errors())
        raise MatrixError(f"{path}:\n{problems}") from error


def _explain(model: type[BaseModel], problem: Any) -> str:
    location = [
        part for part in problem["loc"] if not (isinstance(part, str) and part.startswith("function-"))
    ]
    field = ".".join(str(part) for part in location) or "the matrix"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        valid = _fields_at(model, location[:-1])
        close = difflib.get_close_matches(str(location[-1]), valid, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        message = f"unknown field; {hint}valid: {', '.join(valid)}"
    return f"{field}: {message}"


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
