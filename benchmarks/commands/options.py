"""What several commands share: where things lie, and how a command stops."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click
from click.core import ParameterSource

from benchmarks.output import say

RESULTS = click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results"),
    show_default=True,
    envvar="SPIKEMARK_RESULTS",
    show_envvar=True,
    help="Folder of records, trained networks, tracked runs and the page.",
)


def results_named() -> bool:
    """True where this command line names its results folder: then it must have records."""
    return click.get_current_context().get_parameter_source("results") is ParameterSource.COMMANDLINE


DATA_ROOT = click.option(
    "--data-root",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="SPIKEMARK_DATA",
    show_envvar=True,
    help="Folder that data sets and checkpoints of the matrix are relative to.",
)


def stop(message: str, code: int = 1) -> NoReturn:
    """Say on standard error why a command ends, and end it."""
    say(f"spikemark: {message}", err=True)
    sys.stdout.flush()
    # A trainer that was interrupted may have left threads behind; nothing is pending here.
    if code == 130:
        os._exit(code)
    sys.exit(code)
