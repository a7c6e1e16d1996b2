"""A matrix small enough to run in seconds, and processes from a server that has imported everything."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from benchmarks.execution import fork_server

TOOLS = Path(__file__).with_name("tools.py")
TINY = {
    "name": "tiny",
    "datasets": [{"name": "digits", "size": 8}],
    "networks": ["small_cnn"],
    "recipes": ["opi", "burst"],
    "time_steps": [1, 4],
    "training": {"epochs": 1},
    "evaluation": {"calibration_images": 32, "test_images": 40, "batch_size": 20},
    "tracking": {"wandb": "off"},
}


@pytest.fixture
def tiny():
    return dict(TINY)


@pytest.fixture
def write_matrix(tmp_path):
    def write(content, name="matrix.yaml"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """The functions of tools.py."""
    return SimpleNamespace(**runpy.run_path(str(TOOLS)))


@pytest.fixture
def start() -> Any:
    """Start a function of tools.py in a process of its own; all are killed in the end, and end with us."""
    context = fork_server.context()
    started = []

    def begin(call: str, *arguments: Any) -> Any:
        fork_server.warm_up()  # or this one would outlive tests that are killed
        given = {"call": call, "arguments": arguments}
        process = context.Process(target=runpy.run_path, args=(str(TOOLS), given, "child"))
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.join()


@pytest.fixture(scope="session")
def undisturbed(tools: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the tiny matrix gives when nothing happens to it."""
    results = tmp_path_factory.mktemp("undisturbed")
    assert tools.run_matrix(tools.matrix_of(), results).failures == []
    return tools.measured(results)
