"""The generator of random networks and the brute force that counts in them, as fixtures."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

NETWORKS = int(
    os.environ.get("SPIKEMARK_RANDOM_NETWORKS", "300")
)  # that most laws try a share of; others each time, if given
FRESH = 10  # after so many networks hypothesis mostly changes a little in earlier ones: then begin anew
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
    """Try a law on many networks and say how many were tried; a law that gives False did not suit one."""

    def check(law: Callable[[Any], bool | None], share: float = 1.0, **settings_of_networks: Any) -> None:
        tried, skipped = 0, 0

        def every(network: Any) -> None:
            nonlocal tried, skipped
            tried += 1
            skipped += law(network) is False

        options = settings(
            max_examples=FRESH, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        first = random.randrange(2**32) if "SPIKEMARK_RANDOM_NETWORKS" in os.environ else 0
        for number in range(max(1, int(NETWORKS * share) // FRESH)):
            seed(first + number)(options(given(drawn.networks(**settings_of_networks))(every)))()
        with capsys.disabled():
            print(f"\n{law.__name__}: {tried - skipped} random networks, {skipped} more not suited")
        assert tried - skipped >= 0.6 * tried

    return check
