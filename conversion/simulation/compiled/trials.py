"""Try fits in the kernel: see native/trials.c and `conversion.simulation.trials`."""

from __future__ import annotations

import ctypes

import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.neurons import Neuron
from conversion.simulation.compiled.native import byte_lanes, kernel
from conversion.simulation.compiled.native.structures import Biases, Sampled, Trials
from conversion.simulation.fused.firing import (
    BINARY,
    BURST,
    CALIBRATED,
    LEAKY,
    ROUNDING,
    SIGNED,
    Firing,
    firing_of,
)
from conversion.simulation.trials import Answers, Sample, Starts

_KINDS = (BINARY, BURST, SIGNED, CALIBRATED, LEAKY, ROUNDING)  # those that trials.c fires


def can_try(neuron: Neuron, sample: Sample) -> bool:
    """True where the kernel fires these neurons."""
    return _firing(neuron) is not None and sample.current.dtype == torch.float32


def try_in_kernel(neuron: Neuron, sample: Sample, starts: Starts) -> Answers:
    """`trials.try_starts` in the kernel, which must be able to; see `can_try`."""
    keep: list[Tensor] = []
    count, channels = starts.threshold.shape
    sent, errors = torch.zeros(2, count, channels, dtype=torch.float64)
    job = Trials(_sampled(neuron, sample, keep), _pointer(_filled(sample.wanted), keep), count)
    job.scale, job.membrane, job.offset = _in_thresholds(starts, keep)
    value = starts.threshold / sample.steps
    job.value, job.sent, job.errors = (_pointer(tensor, keep) for tensor in (value, sent, errors))
    library = kernel()
    assert library is not None
    library.try_all(ctypes.byref(job), torch.get_num_threads())
    samples = sample.wanted.shape[1]
    return Answers((sent / samples * value).float(), (errors / samples).float())


def biases_in_kernel(neuron: Neuron, sample: Sample, start: Starts, rounds: int, rate: float) -> Tensor:
    """`trials.temporal_biases` in the kernel, which must be able to; see `can_try`."""
    keep: list[Tensor] = []
    bias = torch.zeros(len(sample.wanted), sample.steps)
    job = Biases(_sampled(neuron, sample, keep), rounds, rate)
    job.scale, job.membrane, job.offset = _in_thresholds(start, keep)
    job.wanted = _pointer(sample.wanted.mean(1) / start.threshold[0], keep)
    job.bias = _pointer(bias, keep)
    library = kernel()
    assert library is not None
    library.find_all_biases(ctypes.byref(job), torch.get_num_threads())
    return bias.T.contiguous()


def _firing(neuron: Neuron) -> Firing | None:
    firing = firing_of(neuron)
    return firing if firing is not None and firing.kind in _KINDS else None


def _sampled(neuron: Neuron, sample: Sample, keep: list[Tensor]) -> Sampled:
    firing = _firing(neuron)
    assert firing is not None
    channels, given, samples = sample.current.shape
    job = Sampled(_pointer(_filled(sample.current), keep), channels, sample.steps, int(given == 1), samples)
    job.neurons.kind, job.neurons.variant = firing.kind, firing.variant
    job.neurons.most, job.neurons.back, job.neurons.bound = firing.most, firing.back, firing.bound
    state = neuron.start(torch.zeros(1))
    job.begin[: len(firing.states)] = [float(state[name]) for name in firing.states]
    return job


def _in_thresholds(starts: Starts, keep: list[Tensor]) -> tuple[int, int, int]:
    """One over thresholds, membranes and offsets in thresholds, all [K, C]."""
    scale = 1.0 / starts.threshold
    scale, membrane, offset = torch.broadcast_tensors(scale, starts.membrane, starts.offset * scale)
    return _pointer(scale, keep), _pointer(membrane, keep), _pointer(offset, keep)


def _filled(values: Tensor) -> Tensor:
    """Values [..., S] with zeros up to whole registers."""
    missing = -values.shape[-1] % byte_lanes()
    return F.pad(values, (0, missing)) if missing else values


def _pointer(values: Tensor, keep: list[Tensor]) -> int:
    """Where the kernel finds values, which stay as long as `keep` does."""
    keep.append(values.contiguous() if values.dtype == torch.float64 else values.float().contiguous())
    return keep[-1].data_ptr()
