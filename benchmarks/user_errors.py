"""Errors whose message is all that a user needs; any other error is shown with its traceback."""

from __future__ import annotations

from benchmarks.errors import AnnError, MemoryExhausted
from conversion import ConversionError
from datamodules import DataError
from leaderboard import StoreError
from lightning_modules.networks import CheckpointError, NetworkError

USER_ERRORS = (
    AnnError,
    CheckpointError,
    ConversionError,
    DataError,
    MemoryExhausted,
    NetworkError,
    StoreError,
)
