"""Run the tests of `interpreted` where Triton's kernels are interpreted on the CPU.

Triton decides while it is imported, and other packages import it, so this takes a process for each file.
One of them alone: TRITON_INTERPRET=1 pytest tests/conversion/simulation/cuda/interpreted/test_pools.py
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

HERE = Path(__file__).parent
FILES = sorted(path.name for path in (HERE / "interpreted").glob("test_*.py"))


@pytest.mark.parametrize("name", FILES)
def test_kernels_interpreted_on_the_cpu(name):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        HERE / "interpreted" / name,
    ]
    done = subprocess.run(
        command, env=environment | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_kernels_of_this_room_are_all_tested():
    assert len(FILES) >= 3
