"""Max pooling of spikes in the kernel: lossless, or the gate of the leading input; see native/pool.c."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from conversion.pooling import Gate, LateralInhibition, MaxPool, Pooling
from conversion.signals.signals import Spikes
from conversion.simulation.compiled.buffers import Buffers
from conversion.simulation.compiled.lanes import CHANNELS, PackedSpikes, empty_bits, library
from conversion.simulation.compiled.layers import channels_last, filled
from conversion.simulation.compiled.native.structures import MAX_KERNEL, PoolJob

State = dict[str, Tensor]


def can_pool(rule: Pooling, pool: MaxPool, spikes: Spikes) -> bool:
    """True for the two rules, and pools with a fixed window over height and width."""
    settings, shape = pool.settings, spikes.shape
    if not isinstance(rule, LateralInhibition | Gate) or "kernel_size" not in settings or len(shape) != 4:
        return False
    return max(_pair(settings["kernel_size"])) <= MAX_KERNEL


def pool_packed(rule: Pooling, pool: MaxPool, spikes: PackedSpikes, state: State) -> PackedSpikes:
    """What a rule sends in a chunk of time, bits.

    Args:
        rule: see `can_pool`.
        pool: the ANN's max pooling.
        spikes: what arrives.
        state: spikes that arrived ("totals") and were sent ("sent") in earlier chunks; empty before the
            first one; updated in place.
    """
    blocks, height, width, _, _ = spikes.bits.shape
    job = _job(rule, pool, height, width)
    if not state:
        row = (CHANNELS, spikes.lanes)
        state["totals"] = torch.zeros(blocks, height, width, *row, dtype=torch.int32)
        state["sent"] = torch.zeros(blocks, job.out_height, job.out_width, *row, dtype=torch.int32)
    shape = (spikes.images, blocks * CHANNELS, job.out_height, job.out_width)
    pooled = empty_bits(len(spikes.weights), spikes.steps, shape, spikes.lanes)
    job.packed, job.planes, job.is_signed = 1, len(spikes.weights), spikes.signed
    job.steps, job.images, job.channels = spikes.steps, spikes.lanes, blocks * CHANNELS
    _run(job, spikes.bits, pooled, state)
    return spikes.with_bits(pooled, spikes.spike_value, spikes.ndim)


def pool_bytes(
    rule: Pooling, pool: MaxPool, spikes: Spikes, spike_value: Tensor, state: State, buffers: Buffers
) -> tuple[Spikes, Tensor]:
    """What a rule sends in a chunk of time, bytes.

    Args:
        rule: see `can_pool`.
        pool: the ANN's max pooling.
        spikes: what arrives.
        state: as for `pool_packed`.
        spike_value: value of one spike that is sent.
        buffers: where memory of the result comes from.

    Returns:
        Spikes, and their sizes summed over time and images [C, H', W'].
    """
    images, real, height, width = spikes.shape
    channels = filled(real)
    source = channels_last(spikes.counts, channels)
    job = _job(rule, pool, height, width)
    if not state:
        state["totals"] = torch.zeros(images, height, width, channels, dtype=torch.int32)
        state["sent"] = torch.zeros(images, job.out_height, job.out_width, channels, dtype=torch.int32)
    pooled = buffers.empty((spikes.steps * images, job.out_height, job.out_width, channels), source.dtype)
    counts = torch.zeros(job.out_height, job.out_width, channels)
    job.steps, job.images, job.channels, job.counts = spikes.steps, images, channels, counts.data_ptr()
    job.is_unsigned = int(source.dtype is torch.uint8)
    _run(job, source, pooled, state)
    sent = pooled.permute(0, 3, 1, 2)[:, :real]
    return Spikes(sent, spikes.steps, spike_value, spikes.signed), counts.permute(2, 0, 1)[:real]


def _job(rule: Pooling, pool: MaxPool, height: int, width: int) -> PoolJob:
    """Geometry and rule."""
    settings: dict[str, Any] = pool.settings
    job = PoolJob(height=height, width=width, gate=isinstance(rule, Gate))
    job.out_height, job.out_width = pool(torch.zeros(1, 1, height, width)).shape[2:]
    kernel = settings["kernel_size"]
    job.kernel_h, job.kernel_w = _pair(kernel)
    stride = settings.get("stride")
    job.stride_h, job.stride_w = _pair(kernel if stride is None else stride)
    job.pad_h, job.pad_w = _pair(settings.get("padding", 0))
    job.dilation_h, job.dilation_w = _pair(settings.get("dilation", 1))
    return job


def _run(job: PoolJob, spikes: Tensor, pooled: Tensor, state: State) -> None:
    job.spikes, job.pooled = spikes.data_ptr(), pooled.data_ptr()
    job.totals, job.sent = state["totals"].data_ptr(), state["sent"].data_ptr()
    library().pool_spikes(ctypes.byref(job), torch.get_num_threads())


def _pair(value: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
