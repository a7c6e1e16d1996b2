"""The one place that picks a backend: adding one is a folder, and a line here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from torch import Tensor

from conversion.simulation.backend import HALVES, PRECISIONS, Backend, Precision, Schedule
from conversion.simulation.compiled.backend import Compiled
from conversion.simulation.cuda.backend import Triton
from conversion.simulation.pytorch.backend import PyTorch
from conversion.simulation.pytorch.layers import TorchLayers

BACKENDS: tuple[Backend, ...] = (Triton(), Compiled(), PyTorch())  # the first that suits runs
REFERENCE = PyTorch.name  # what the others are tested against: it runs everything everywhere
ReferenceLayers = TorchLayers

_only: ContextVar[tuple[str, Schedule | None] | None] = ContextVar("backend", default=None)


@contextmanager
def use(backend: str, schedule: Schedule | None = None) -> Iterator[None]:
    """Let one backend run everything inside, for tests and comparisons.

    Args:
        backend: its name.
        schedule: how batches go through the network; the backend's own choice if None.

    Raises:
        ValueError: there is no such backend.
    """
    if backend not in names():
        raise ValueError(f"no backend '{backend}'; there are {', '.join(names())}")
    token = _only.set((backend, schedule))
    try:
        yield
    finally:
        _only.reset(token)


def names() -> list[str]:
    """Names of all backends, in the order in which they are tried."""
    return [backend.name for backend in BACKENDS]


def backend_for(images: Tensor) -> Backend:
    """The backend that runs these images on this machine."""
    wanted = _only.get()
    return next(
        backend for backend in BACKENDS if (backend.name == wanted[0] if wanted else backend.suits(images))
    )


def wanted_schedule() -> Schedule | None:
    """The schedule that `use` asks for, if any."""
    wanted = _only.get()
    return wanted[1] if wanted else None


def effective_precision(images: Tensor, precision: Precision) -> Precision:
    """Precision that `simulate` really uses: integers need the compiled kernel with synapses, halves a GPU.

    Warns once where a faster precision is not available.

    Raises:
        ValueError: there is no such precision.
    """
    known = (*PRECISIONS, *HALVES)
    if not isinstance(precision, str) or precision not in known:
        raise ValueError(f"precision must be one of {', '.join(known)}, got '{precision}'")
    if backend_for(images).runs(precision):
        return precision
    needs = "a C compiler and a CPU with AVX2 or AVX-512 VNNI"
    if precision in HALVES:
        needs = "an NVIDIA GPU of compute capability 8.0 or later, and Triton"
    _say_once(f"{precision} needs {needs}; simulating in float32 instead")
    return "float32"


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)
