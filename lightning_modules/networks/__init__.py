"""Networks as plain modules that know nothing of Lightning, built by name."""

from lightning_modules.networks import catalogue as catalogue  # registers our networks
from lightning_modules.networks.errors import CheckpointError, NetworkError
from lightning_modules.networks.registry import (
    ChosenNetwork,
    NetworkEntry,
    build,
    choose,
    describe,
    names,
    register,
    task_of,
)
from lightning_modules.networks.starting import start_from
from lightning_modules.networks.weights import load_weights

__all__ = [
    "CheckpointError",
    "ChosenNetwork",
    "NetworkEntry",
    "NetworkError",
    "build",
    "choose",
    "describe",
    "load_weights",
    "names",
    "register",
    "start_from",
    "task_of",
]
