"""Processes for the tests: forked from a server that has imported everything, so they start at once."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.execution.fork_server import context as fork_server

TOOLS = Path(__file__).with_name("tools.py")


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """The functions of tools.py."""
    return SimpleNamespace(**runpy.run_path(str(TOOLS)))


@pytest.fixture
def start() -> Any:
    """Start a function of tools.py in a process of its own; all are killed in the end."""
    context = fork_server()
    started = []

    def begin(call: str, *arguments: Any) -> Any:
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
