"""Independent counts of synaptic operations, as fixtures; test files cannot import their neighbours."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def one_by_one() -> ModuleType:
    """one_by_one.py"""
    return load("one_by_one")


@pytest.fixture(scope="session")
def unit_by_unit() -> ModuleType:
    """unit_by_unit.py"""
    return load("unit_by_unit")
