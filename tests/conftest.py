"""What all tests share: each draws the same random numbers alone, beside others and in any order."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Seed torch while a test file is imported, too: its tables of layers draw their weights then."""
    if not isinstance(collector, pytest.Module):
        return (yield)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return (yield)
