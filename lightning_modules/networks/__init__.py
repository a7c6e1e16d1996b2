"""Networks as plain modules that know nothing of Lightning, built by name."""

from lightning_modules.networks.errors import CheckpointError, NetworkError
from lightning_modules.networks.registry import build, check, describe, names, task_of
from lightning_modules.networks.weights import load_weights

__all__ = [
    "CheckpointError",
    "NetworkError",
    "build",
    "check",
    "describe",
    "load_weights",
    "names",
    "task_of",
]
