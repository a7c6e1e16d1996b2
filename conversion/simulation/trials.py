"""What fitting asks of neurons: a sample of each channel, tried from many starts; by PyTorch's operations.

Backends may answer faster (`Backend.try_starts`, `Backend.temporal_biases`); what is here is what they are
tested against.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.neurons import Neuron


@dataclass(frozen=True)
class Sample:
    """Some neurons of every channel of one layer.

    Attributes:
        current: what they receive, in units of the activation, [C, T, S]; [C, 1, S] where it does not change.
        wanted: what they should mean after T steps, [C, S].
        steps: T.
    """

    current: Tensor
    wanted: Tensor
    steps: int

    def driven(self, threshold: Tensor, offset: Tensor) -> Tensor:
        """Currents in thresholds as neurons take them, [T or 1, S, C]; of thresholds and offsets [C]."""
        return (self.current.permute(1, 2, 0) + offset) / threshold


@dataclass(frozen=True)
class Starts:
    """What neurons of each channel may start from; all [K, C].

    Attributes:
        threshold: in units of the activation.
        membrane: before the first step, in thresholds.
        offset: constant current of every step, in units of the activation.
    """

    threshold: Tensor
    membrane: Tensor
    offset: Tensor


@dataclass(frozen=True)
class Answers:
    """What the neurons of a sample send from each start; both [K, C].

    Attributes:
        mean: over neurons, of what they mean after T steps.
        error: mean over neurons of the squared difference from what they should mean.
    """

    mean: Tensor
    error: Tensor


def try_starts(neuron: Neuron, sample: Sample, starts: Starts) -> Answers:
    """Let the sample fire from every start."""
    means, errors = [], []
    for threshold, membrane, offset in zip(starts.threshold, starts.membrane, starts.offset, strict=True):
        driven = sample.driven(threshold, offset)
        state = neuron.start(membrane.expand_as(driven[0]).clone())
        sent = torch.zeros_like(driven[0])
        for step in range(sample.steps):
            spikes, state = neuron.step(driven[min(step, len(driven) - 1)], state)
            sent += spikes
        meant = sent * threshold / sample.steps
        means.append(meant.mean(0))
        errors.append((meant - sample.wanted.T).square().mean(0))
    return Answers(torch.stack(means), torch.stack(errors))


def temporal_biases(neuron: Neuron, sample: Sample, start: Starts, rounds: int, rate: float) -> Tensor:
    """Bias of each step and channel [T, C], in thresholds, with which steps send what is wanted on average.

    In each round, for one step after the other, the bias grows by `rate` times what the step lacks; then the
    step fires with it.

    Args:
        neuron: what fires.
        sample: the neurons.
        start: what they start from, K = 1.
        rounds: how often all steps are gone through.
        rate: share of what is missing that a round adds.
    """
    threshold, membrane, offset = start.threshold[0], start.membrane[0], start.offset[0]
    driven = sample.driven(threshold, offset)
    wanted = sample.wanted.mean(1) / threshold
    bias = driven.new_zeros(sample.steps, len(wanted))
    for _ in range(rounds):
        state = neuron.start(membrane.expand_as(driven[0]).clone())
        for t in range(sample.steps):
            now = driven[min(t, len(driven) - 1)]
            spikes, _ = neuron.step(now + bias[t], state)
            bias[t] += rate * (wanted - spikes.mean(0))
            _, state = neuron.step(now + bias[t], state)
    return bias
