"""Write a package that adds one thing: a module that works, its entry point, a test and a matrix."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from benchmarks.errors import PluginError
from benchmarks.plugins.kinds import KINDS

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_TEMPLATES = Path(str(resources.files("benchmarks.plugins"))) / "templates"


@dataclass(frozen=True)
class Written:
    """A new package."""

    folder: Path
    module: Path  # the file to change


def write_package(kind: str, name: str, where: Path) -> Written:
    """Write a package into a new folder below `where`.

    Args:
        kind: "recipe", "network" or "dataset".
        name: what matrices will call it; small letters, digits, "-" and "_".
        where: an existing folder.

    Raises:
        PluginError: the name cannot be used, or the folder exists already.
    """
    if _NAME.fullmatch(name) is None:
        raise PluginError(
            f"a name is small letters, digits, '-' and '_', and starts with a letter; got {name!r}"
        )
    if name in KINDS[kind].names():
        raise PluginError(f"there is a {kind} '{name}' already; choose another name")
    package, module = name.replace("_", "-"), name.replace("-", "_")
    if importlib.util.find_spec(module) is not None:
        raise PluginError(f"there is a Python module '{module}' already; choose another name")
    folder = where / package
    words = {
        "kind": {"dataset": "data set"}.get(kind, kind),
        "KIND": kind.upper(),
        "name": name,
        "package": package,
        "module": module,
        "Class": "".join(word.capitalize() for word in module.split("_")),
        "group": KINDS[kind].group,
    }
    files = {
        "pyproject.toml": "pyproject.toml.tmpl",
        f"{module}.py": f"{kind}/plugin.py.tmpl",
        f"test_{module}.py": "test.py.tmpl",
        "matrix.yaml": f"{kind}/matrix.yaml.tmpl",
    }
    try:
        folder.mkdir()
        for target, template in files.items():
            text = Template((_TEMPLATES / template).read_text(encoding="utf-8")).substitute(words)
            (folder / target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise PluginError(
            f"cannot write {folder}: {error.strerror}; nothing that was there is changed"
        ) from error
    return Written(folder, folder / f"{module}.py")
