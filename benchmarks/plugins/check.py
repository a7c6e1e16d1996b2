"""Judge a recipe, a network or a data set by its contract."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import PluginError
from benchmarks.plugins.kinds import KINDS
from datamodules import DataError
from leaderboard.files.yaml_files import YamlError, read_text
from spikemark_plugins.names import closest


@dataclass(frozen=True)
class LawVerdict:
    """What became of one law."""

    kind: str
    law: str  # the promise in words
    broken: str | None  # why, or None where it is kept


def judge(text: str, data_root: Path | None) -> Iterator[LawVerdict]:
    """Run every law that holds for something.

    Args:
        text: a name, or a YAML mapping with options as matrices have it.
        data_root: folder of data sets.

    Raises:
        PluginError: nothing has this name; names the nearest.
        DataError: the files of a data set are not there.
    """
    name, options = _parse(text)
    kinds = [kind for kind, each in KINDS.items() if name in each.names()]
    if not kinds:
        known = {each for kind in KINDS.values() for each in kind.names()}
        near = closest(name, sorted(known))
        question = (
            f"; did you mean '{near}'?"
            if near
            else "; `spikemark list recipes` (networks, datasets) says what there is."
        )
        raise PluginError(
            f"there is no recipe, network or data set '{name}'{question}\n"
            "If a package of yours adds it, install that into this Python: "
            f"{sys.executable} -m pip install --no-deps -e FOLDER"
        )
    for kind in kinds:
        arguments = KINDS[kind].arguments(name, options, data_root)
        for law in KINDS[kind].laws:
            yield LawVerdict(kind, (law.__doc__ or law.__name__).strip(), _broken(law, arguments))


def _broken(law: Callable[..., None], arguments: tuple[Any, ...]) -> str | None:
    try:
        law(*arguments)
    except AssertionError as error:
        return str(error) or "it does not hold"
    except DataError:
        raise
    except Exception as error:
        return "".join(traceback.format_exception(error))
    return None


def _parse(text: str) -> tuple[str, dict[str, Any]]:
    try:
        said = read_text(text, "what to check").content
    except YamlError as error:
        raise PluginError(f"'{text}' is neither a name nor a YAML mapping: {error}") from error
    values = {"name": said} if isinstance(said, str) else said
    if not isinstance(values, dict):
        raise PluginError(f"expected a name, or a mapping such as {{name: digits, size: 8}}, got {text!r}")
    options = dict(values)
    name = options.pop("preset", None) or options.pop("name", None)
    return str(name), options
