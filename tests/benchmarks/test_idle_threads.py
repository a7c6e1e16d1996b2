"""Threads without work sleep soon, unless a user says otherwise; libraries hear it before they are loaded."""

import subprocess
import sys

import pytest

from benchmarks.idle_threads import sleep_soon

NAMES = {"GOMP_SPINCOUNT", "OPENBLAS_THREAD_TIMEOUT"}


def test_threads_sleep_soon():
    environment: dict[str, str] = {}
    sleep_soon(environment)
    assert environment.keys() == NAMES
    assert 0 < int(environment["GOMP_SPINCOUNT"]) < 300_000  # what libgomp does by itself
    assert 4 <= int(environment["OPENBLAS_THREAD_TIMEOUT"]) < 26  # likewise OpenBLAS


@pytest.mark.parametrize("said", ["GOMP_SPINCOUNT", "OPENBLAS_THREAD_TIMEOUT", "OMP_WAIT_POLICY"])
def test_what_a_user_says_stays(said):
    environment = {said: "mine"}
    sleep_soon(environment)
    assert environment[said] == "mine"
    assert ("GOMP_SPINCOUNT" in environment) == (said != "OMP_WAIT_POLICY")


def test_the_command_says_it_before_a_library_that_asks_is_loaded():
    program = """
import os, sys
import benchmarks.cli, benchmarks.idle_threads as threads
names = list(threads._LOOKS)
for name in (*names, "OMP_WAIT_POLICY"):
    os.environ.pop(name, None)
said = []
def heard(*_):
    said.append({"torch", "numpy"} & sys.modules.keys())
    return real(*_)
real, benchmarks.cli.sleep_soon = threads.sleep_soon, heard
benchmarks.cli.main(["list", "matrices"], standalone_mode=False)
assert said == [set()], said
assert all(name in os.environ for name in names)
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
