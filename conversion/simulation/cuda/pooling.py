"""Max pooling of a chunk of time in the kernel; see kernels/pool.py."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from conversion.pooling import Gate, LateralInhibition, MaxPool, PerStep, Pooling
from conversion.simulation.cuda.launching import launch
from conversion.simulation.cuda.signals import channels_last

State = dict[str, Tensor]

RULES: dict[type[Pooling], int] = {LateralInhibition: 0, Gate: 1, PerStep: 2}  # as in kernels/pool.py
NONZERO, UNITS = range(2)  # how what is sent counts
MOST_TAPS = 16  # inputs of a window that registers hold
BLOCK = 128  # outputs of a program


def can_pool(rule: Pooling, pool: MaxPool, rank: int, most_taps: int | None = None) -> bool:
    """True for rules and windows that the kernel has: fixed ones over height and width, of few inputs.

    Args:
        rule: what becomes of max pooling.
        pool: the ANN's.
        rank: axes of a value.
        most_taps: of a window; None for as many as the kernel takes.
    """
    settings = pool.settings
    if type(rule) not in RULES or rank != 4 or "kernel_size" not in settings:
        return False
    return prod(_pair(settings["kernel_size"])) <= (most_taps or MOST_TAPS)


def pool_chunk(
    rule: Pooling,
    pool: MaxPool,
    values: Tensor,
    steps: int,
    spike_value: Tensor | None,
    state: State,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """What a rule sends in a chunk of time.

    Args:
        rule: see `can_pool`.
        pool: the ANN's max pooling.
        values: what arrives [T * B, C, H, W].
        steps: T.
        spike_value: float32 [C], by which what is sent is counted in spikes; None counts everything that is
            not 0 as one.
        state: sums of what arrived in earlier chunks ("totals"); empty before the first one; updated.
        dtype: of what is sent.

    Returns:
        What is sent [T * B, H', W', C], and events summed over time and images, int32 [H', W', C].
    """
    source = channels_last(values)
    images, (height, width, channels) = len(source) // steps, source.shape[1:]
    out_height, out_width = pool(torch.empty(1, 1, height, width, device="meta")).shape[2:]
    settings: dict[str, Any] = pool.settings
    kernel = _pair(settings["kernel_size"])
    stride = settings.get("stride")
    one_image = (out_height, out_width, channels)
    if "totals" not in state:
        taps = prod(kernel) if not isinstance(rule, PerStep) else 0
        state["totals"] = torch.zeros((taps, images, *one_image), device=source.device)
    sent = source.new_empty((steps * images, *one_image), dtype=dtype)
    counts = torch.zeros(one_image, dtype=torch.int32, device=source.device)
    constants: dict[str, int] = {}
    for name, (rows, columns) in {
        "KERNEL": kernel,
        "STRIDE": kernel if stride is None else _pair(stride),
        "PAD": _pair(settings.get("padding", 0)),
        "DILATION": _pair(settings.get("dilation", 1)),
    }.items():
        constants |= {f"{name}_H": rows, f"{name}_W": columns}
    launch(
        _pool(),
        (-(-prod(one_image) // BLOCK), images),
        values=source,
        totals=state["totals"],
        unit_value=state["totals"] if spike_value is None else spike_value,
        sent=sent,
        counts=counts,
        steps=steps,
        images=images,
        height=height,
        width=width,
        channels=channels,
        out_height=out_height,
        out_width=out_width,
        TAPS=1 << (prod(kernel) - 1).bit_length(),
        RULE=RULES[type(rule)],
        COUNTED=NONZERO if spike_value is None else UNITS,
        BLOCK=BLOCK,
        **constants,
    )
    return sent, counts


def _pair(value: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _pool() -> object:
    """The kernel; Triton is imported only here."""
    from conversion.simulation.cuda.kernels.pool import pool

    return pool
