"""Peak memory of a simulation against its number of time steps, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable

import torch

from benchmarks.speed.work import Work
from conversion import convert

MEMORY_STEPS = (64, 256, 1024)


def memory_curve(make: Callable[[torch.device], Work], device: torch.device) -> dict[int, float]:
    """Peak memory in MiB of converting and simulating the work in float32, by number of time steps.

    On a CPU it is the resident set of a fresh process, Python and PyTorch included; on a GPU what PyTorch
    has allocated there.

    Args:
        make: the work on a device; called in the other process, so a function of a module.
        device: where to simulate.
    """
    context = multiprocessing.get_context("spawn")
    peaks = {}
    for steps in MEMORY_STEPS:
        with context.Pool(1) as pool:
            peaks[steps] = pool.apply(_peak, (make, device, steps))
    return peaks


def _peak(make: Callable[[torch.device], Work], device: torch.device, steps: int) -> float:
    work = make(device)
    snn = convert(work.network, "percentile", work.calibration)
    for _ in snn.simulate(work.images, (steps,)):
        pass
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
