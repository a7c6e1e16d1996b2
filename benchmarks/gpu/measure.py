"""Throughput side by side, and memory against the number of time steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu.contenders import PLAIN, Contender, contenders

MIB = 2**20


def throughput(
    network: nn.Module, images: Tensor, steps: int, backend: str, rounds: int, deadline: float
) -> dict[str, dict[str, Any]]:
    """Images x time steps a second of every contender, in turns; medians.

    Args:
        network: on the device, in eval mode.
        images: the batch there.
        steps: T.
        backend: our backend for this device, by name.
        rounds: turns of each contender, after one that warms up.
        deadline: a moment of `time.monotonic`; no round begins later.
    """
    taking_part = contenders(network, images[: min(len(images), 8)], backend)
    seconds: dict[str, list[float]] = {name: [] for name in taking_part}
    rows: dict[str, dict[str, Any]] = {name: {} for name in taking_part}
    outputs: dict[str, Tensor] = {}
    for turn in range(-1, rounds):  # the first compiles and warms up
        for name, run in taking_part.items():
            if "failed" in rows[name] or (turn >= 0 and time.monotonic() > deadline):
                continue
            try:
                took, peak, output = _run(run, images, steps)
            except Exception as error:  # one contender must not take the others' results along
                rows[name] = {"failed": f"{type(error).__name__}: {error}"[:200]}
                continue
            outputs[name] = output
            rows[name]["peak_mib"] = peak
            if turn >= 0:
                seconds[name].append(took)
    reference = outputs.get("SpikeMark pytorch, float32")
    for name, times in seconds.items():
        if times:
            rows[name]["images_x_steps_per_s"] = len(images) * steps / statistics.median(times)
        if reference is not None and name in outputs:
            agree = outputs[name].argmax(1) == reference.argmax(1)
            rows[name]["same_class"] = agree.float().mean().item()
    base = rows.get(PLAIN, {}).get("images_x_steps_per_s")
    for row in rows.values():
        if base and "images_x_steps_per_s" in row:
            row["x_plain_loop"] = row["images_x_steps_per_s"] / base
    return rows


def memory(run: Contender, images: Tensor, time_steps: tuple[int, ...]) -> dict[int, float]:
    """Peak memory in MiB by the number of time steps; 0 on a CPU, where it is not asked for."""
    return {steps: _run(run, images, steps)[1] for steps in time_steps}


def _run(run: Callable[..., Tensor], images: Tensor, steps: int) -> tuple[float, float, Tensor]:
    """Seconds until the device was done, peak memory in MiB, and the result."""
    on_gpu = images.device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(images.device)
        torch.cuda.reset_peak_memory_stats(images.device)
    started = time.perf_counter()
    result = run(images, steps)
    if on_gpu:
        torch.cuda.synchronize(images.device)
    took = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated(images.device) / MIB if on_gpu else 0.0
    return took, peak, result
