"""Max pooling of packed spikes in the table kernel: lossless, or the gate of the leading input."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from conversion.compiled.lanes import CHANNELS, PackedSpikes, empty_bits, library
from conversion.compiled.native.structures import MAX_KERNEL, PoolJob
from conversion.simulation.pooling import Gate, LateralInhibition, MaxPool, Pooling

State = dict[str, Tensor]


def fits(rule: Pooling, pool: MaxPool, spikes: PackedSpikes) -> bool:
    """True for the two rules, and pools with a fixed window over height and width."""
    settings = pool.settings
    if not isinstance(rule, LateralInhibition | Gate) or "kernel_size" not in settings or spikes.ndim != 4:
        return False
    return max(_pair(settings["kernel_size"])) <= MAX_KERNEL


def pool_packed(rule: Pooling, pool: MaxPool, spikes: PackedSpikes, state: State) -> PackedSpikes:
    """What a rule sends in a chunk of time.

    Args:
        rule: see `fits`.
        pool: the ANN's max pooling.
        spikes: what arrives.
        state: spikes that arrived ("totals") and were sent ("sent") in earlier chunks; empty before the
            first one; updated in place.
    """
    settings: dict[str, Any] = pool.settings
    blocks, height, width, _, _ = spikes.bits.shape
    out_height, out_width = pool(torch.zeros(1, 1, height, width)).shape[2:]
    if not state:
        row = (CHANNELS, spikes.lanes)
        state["totals"] = torch.zeros(blocks, height, width, *row, dtype=torch.int32)
        state["sent"] = torch.zeros(blocks, out_height, out_width, *row, dtype=torch.int32)
    shape = (spikes.images, blocks * CHANNELS, out_height, out_width)
    pooled = empty_bits(len(spikes.weights), spikes.steps, shape, spikes.lanes)
    job = PoolJob(bits=spikes.bits.data_ptr(), pooled=pooled.data_ptr())
    job.totals, job.sent = state["totals"].data_ptr(), state["sent"].data_ptr()
    job.planes, job.steps, job.images = len(spikes.weights), spikes.steps, spikes.lanes
    job.height, job.width, job.blocks, job.is_signed = height, width, blocks, spikes.signed
    job.out_height, job.out_width, job.gate = out_height, out_width, isinstance(rule, Gate)
    kernel = settings["kernel_size"]
    job.kernel_h, job.kernel_w = _pair(kernel)
    stride = settings.get("stride")
    job.stride_h, job.stride_w = _pair(kernel if stride is None else stride)
    job.pad_h, job.pad_w = _pair(settings.get("padding", 0))
    job.dilation_h, job.dilation_w = _pair(settings.get("dilation", 1))
    library().pool_spikes(ctypes.byref(job), torch.get_num_threads())
    return spikes.with_bits(pooled, spikes.unit, spikes.ndim)


def _pair(value: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
