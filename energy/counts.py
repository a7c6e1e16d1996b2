"""Counts that energy models start from: per image, means over the test set.

A count that was not taken is None, never 0; a model that needs it raises `NotMeasured`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

Drive = Literal["analog", "spikes", "current", "mixed"]  # what a layer receives
MOST_BITS = 8  # of a quantised activation

_Value = TypeVar("_Value", int, float, tuple[str, ...])


class NotMeasured(ValueError):
    """A model needs a count that was not taken."""


@dataclass(frozen=True)
class Layer:
    """A layer with weights."""

    name: str
    macs: float  # dense multiply-accumulates of the ANN
    drive: Drive
    weights: int | None = None  # number of weights, without biases
    biases: int | None = None
    inputs: int | None = None  # values that come in
    outputs: int | None = None  # values that go out
    taps: int | None = None  # kernel positions over all output channels; 0 for a linear layer
    sources: tuple[str, ...] | None = None  # whose spikes arrive
    active_macs: float | None = None  # of the ANN, with an input that is not zero
    active_inputs: float | None = None  # of the ANN, that are not zero


@dataclass(frozen=True)
class Function:
    """An operation that evaluates a function of signals; the ANN does so once an image."""

    operation: str  # as reports call it, e.g. "torch.nn.SiLU"
    values: float  # that it gives
    inputs: float | None = None  # values that it takes, of all its signals


@dataclass(frozen=True)
class Network:
    """Everything that does not depend on time or on the recipe."""

    layers: tuple[Layer, ...]
    units: Mapping[str, int]  # source -> neurons, or outputs of a pooling layer, that can spike
    functions: Mapping[str, Function] | None = field(default_factory=dict)  # by operation; None: not counted

    def __hash__(self) -> int:
        """Of what makes networks equal, so that what is computed for one is found for its like."""
        functions = None if self.functions is None else frozenset(self.functions.items())
        return hash((self.layers, frozenset(self.units.items()), functions))


@dataclass(frozen=True)
class Run:
    """A spiking network up to one read-out."""

    spikes: Mapping[str, float]  # source -> spikes
    synops: Mapping[str, float]  # layer -> synaptic operations
    t: float  # every step that was run
    alphabet: str  # what a spike is: "binary", "burst", "signed", "graded", "weighted", "real"
    max_per_step: int = 1  # most that one neuron sends in a step, in thresholds
    functions: Mapping[str, float] = field(default_factory=dict)  # operation -> values that it evaluated

    @property
    def payload_bits(self) -> int:
        """Bits that an event carries beside the address of its neuron.

        Bursts are sent spike by spike, and what a weighted spike stands for is known from its step:
        nothing. A sign is one bit. A graded event is the index of a power of two, with a sign. A real
        number has 32 bits.
        """
        if self.alphabet == "graded":
            powers = max(self.max_per_step, 1).bit_length()
            return 1 + (powers - 1).bit_length()
        return {"signed": 1, "real": 32}.get(self.alphabet, 0)

    def scaled(self, factor: float) -> Run:
        """The same run with `factor` times the spikes."""
        spikes = {name: factor * n for name, n in self.spikes.items()}
        synops = {name: factor * n for name, n in self.synops.items()}
        return Run(spikes, synops, self.t, self.alphabet, self.max_per_step, self.functions)


@dataclass(frozen=True)
class Quantised:
    """The ANN with weights of 8 bits and activations of `bits`, in a single pass."""

    bits: int
    active_macs: Mapping[str, float] | None = None  # layer -> those whose input is not zero
    active_inputs: Mapping[str, float] | None = None  # layer -> inputs that are not zero


def matched_bits(levels: float) -> int:
    """Bits of an activation with `levels` values above zero, at most 8.

    T binary steps can say T + 1 values. A quantised ANN says the same with ceil(log2(T + 1)) bits (Yan et
    al. 2024, arXiv 2409.08290).
    """
    return min(MOST_BITS, max(1, math.ceil(math.log2(levels + 1))))


def levels_of(alphabet: str, max_per_step: int, steps: float) -> float:
    """Number of values above zero that the mean of `steps` steps can have."""
    if alphabet == "weighted":
        return float(2 ** min(steps, 64.0) - 1)
    return max(max_per_step, 1) * steps


def known(value: _Value | None, layer: str, what: str) -> _Value:
    """The count itself.

    Raises:
        NotMeasured: it is None.
    """
    if value is None:
        raise NotMeasured(f"{what} of layer {layer!r} were not counted; run the cell again")
    return value
