"""The measurement of large folders measures commands in processes of their own."""

from __future__ import annotations

import re
import subprocess

import pytest

from benchmarks.scale import measured


def test_a_command_is_measured_with_its_start() -> None:
    found = re.fullmatch(
        r"(\d+\.\d\d) s, (\d+\.\d\d) s of the processor; at most (\d+) MiB", measured(["--version"])
    )
    assert found is not None
    wall, processor, peak = map(float, found.groups())
    assert 0 < processor < 60
    assert wall > 0
    assert 1 < peak < 4096


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        measured(["no-such-command"])
