"""No file imports another that, by any way, imports the first: every file can be read after those below it.

Imports inside functions and imports for types alone count as well: whoever reads a file has to know what they
name, wherever they stand.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import benchmarks

ROOMS = (
    "benchmarks",
    "conversion",
    "datamodules",
    "energy",
    "leaderboard",
    "lightning_modules",
    "spikemark_plugins",
)
ROOT = Path(benchmarks.__file__).parents[1]

Graph = dict[str, set[str]]  # module -> modules that it imports


def imports_of(root: Path, rooms: tuple[str, ...]) -> Graph:
    """What each file of some packages imports of these packages."""
    files = {_module(path.relative_to(root)): path for room in rooms for path in (root / room).rglob("*.py")}
    graph: Graph = {}
    for module, path in files.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        found = {_file_of(name, files) for name in _imported(ast.parse(path.read_text("utf-8")), package)}
        graph[module] = {name for name in found if name not in ("", module)}
    return graph


def circle(graph: Graph) -> list[str]:
    """One circle, its first module at both ends; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _file_of(name: str, files: dict[str, Path]) -> str:
    """The file that an imported name stands in: a function's is its module; empty for other packages."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def test_no_circle_of_files() -> None:
    graph = imports_of(ROOT, ROOMS)
    assert {module.partition(".")[0] for module in graph} == set(ROOMS)
    assert circle(graph) == [], "these files import each other; move what they share into a file below both"


@pytest.mark.parametrize(
    "back",
    [
        "from house.walls import paint",
        "import house.walls",
        "from house import walls",
        "from . import walls",
        "from .walls import paint",
        "def floor():\n    from house.walls import paint\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.walls import paint\n",
        "try:\n    import house.walls as w\nexcept ImportError:\n    w = None\n",
    ],
)
def test_every_kind_of_import_closes_a_circle(tmp_path: Path, back: str) -> None:
    house = tmp_path / "house"
    house.mkdir()
    (house / "__init__.py").write_text("import os\n")
    (house / "roof.py").write_text("from house.walls import paint\n")
    (house / "walls.py").write_text("from house.ground import earth\npaint = 1\n")
    (house / "ground.py").write_text("import sys\nearth = 1\n")
    assert circle(imports_of(tmp_path, ("house",))) == []
    (house / "ground.py").write_text(f"{back}\nearth = 1\n")
    found = circle(imports_of(tmp_path, ("house",)))
    assert set(found) == {"house.walls", "house.ground"}
    assert found[0] == found[-1]


def test_a_circle_through_a_package_and_two_folders(tmp_path: Path) -> None:
    """A name that is no module of its own stands in the `__init__` of its package."""
    for folder in ("house", "house/up", "house/down", "garden"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "house/up/__init__.py").write_text("from ..down.stairs import steps\nlight = 1\n")
    (tmp_path / "house/down/stairs.py").write_text("from garden.gate import key\nsteps = 1\n")
    (tmp_path / "garden/gate.py").write_text("from house.up import light\nkey = 1\n")
    rooms = ("house", "garden")
    assert set(circle(imports_of(tmp_path, rooms))) == {"house.up", "house.down.stairs", "garden.gate"}
