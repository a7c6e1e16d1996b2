"""The generator of random networks and the brute force that counts in them, as fixtures."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

NETWORKS = int(os.environ.get("SPIKEMARK_RANDOM_NETWORKS", "300"))  # tried by each law
HERE = Path(__file__).parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"random_networks_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def drawn() -> ModuleType:
    """networks.py"""
    return load("networks")


@pytest.fixture(scope="session")
def brute_force() -> ModuleType:
    """brute_force.py"""
    return load("brute_force")


@pytest.fixture
def holds(drawn: ModuleType, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Try a law on many networks, always the same ones; says how many were tried."""

    def check(law: Callable[[Any], bool | None], share: float = 1.0, **settings_of_networks: Any) -> None:
        tried, skipped = 0, 0

        @settings(
            max_examples=max(1, int(NETWORKS * share)),
            deadline=None,
            database=None,
            derandomize="SPIKEMARK_RANDOM_NETWORKS" not in os.environ,
            suppress_health_check=list(HealthCheck),
        )
        @given(drawn.networks(**settings_of_networks))
        def every(network: Any) -> None:
            nonlocal tried, skipped
            tried += 1
            skipped += law(network) is False

        every()
        with capsys.disabled():
            print(f"\n{law.__name__}: {tried - skipped} random networks, {skipped} more not suited")
        assert tried - skipped >= 0.6 * tried

    return check
