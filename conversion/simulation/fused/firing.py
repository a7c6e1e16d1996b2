"""Which neurons the kernels fire, and how they are described to them; see native/neurons.h."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from conversion.functions.elementwise import Elementwise
from conversion.neurons import (
    Burst,
    DifferentialMultiThreshold,
    ImbalancedThreshold,
    Integer,
    IntegrateAndFire,
    Neuron,
    Signed,
    SpikeCalibrated,
    TimedBias,
    Tracking,
)

BINARY, BURST, SIGNED, CALIBRATED, LEAKY, DIFFERENTIAL = range(1, 7)  # kinds in neurons.h
ROUNDING, TRACKING, BOUNDED, MEANS = range(7, 11)
OF_SUM, GIVEN = range(2)  # variants of TRACKING
_VARIANTS = ("fix", "cons", "code")
_BYTE = range(-128, 128)
MOST_IN_BYTES = 127  # spikes of one neuron in one step


@dataclass(frozen=True)
class Firing:
    """A neuron as the kernels know it.

    Attributes:
        kind: of neurons.h.
        most: most spikes sent in one step.
        back: most spikes taken back in one step.
        bound: a number that the kind needs: the lowest membrane, the slope, the allowance, the share.
        variant: of a kind that has several.
        states: entries of the neuron's state that are kept, in the order of neurons.h.
        graded: what is sent counts as one event, whatever its size.
    """

    kind: int
    most: int = 1
    back: int = 0
    bound: float = 0.0
    variant: int = 0
    states: tuple[str, ...] = ("v",)
    graded: bool = False

    @property
    def inside(self) -> bool:
        """True where the kernel does all that follows the sum of currents, also a telescoped function."""
        return self.kind != TRACKING or self.variant != GIVEN


@dataclass(frozen=True)
class Telescoped:
    """Neurons that receive increments of t F(mean current so far).

    Attributes:
        function: F.
        firing: the neurons; with `inside`, F is evaluated in the kernel, else it is given F(mean).
        ceiling: upper bound of F in units of the activation, where `firing` knows one.
    """

    function: Elementwise
    firing: Firing
    ceiling: float = math.inf


def telescoped(neuron: Neuron, function: Elementwise) -> Telescoped | None:
    """How the kernels fire a neuron behind a telescoped function; None if they do not."""
    plain = firing_of(neuron)
    if plain is None or plain.kind != ROUNDING:
        return None
    tracking = replace(plain, kind=TRACKING, states=("v", "arrived", "answer"))
    match function:
        case Elementwise("relu"):
            return Telescoped(function, tracking)
        case Elementwise("leaky_relu", (float() | int() as slope,)):
            return Telescoped(function, replace(tracking, bound=float(slope)))
        case Elementwise("hardtanh", (0 | 0.0, float() | int() as high)):
            states = (*tracking.states, "ceiling")
            return Telescoped(function, replace(tracking, kind=BOUNDED, states=states), float(high))
    return Telescoped(function, replace(tracking, variant=GIVEN))


def firing_of(neuron: Neuron) -> Firing | None:
    """How the kernels fire a neuron; None if they do not."""
    found = _firing_of(neuron)
    return found if found is not None and found.most in _BYTE and -found.back in _BYTE else None


def _firing_of(neuron: Neuron) -> Firing | None:
    match neuron:
        case IntegrateAndFire() | Burst(gamma=1) | ImbalancedThreshold(slope=0):
            return Firing(BINARY)
        case Burst():
            return Firing(BURST, neuron.gamma)
        case Integer(decay=1.0):
            return Firing(BURST, neuron.most, bound=0.5)
        case ImbalancedThreshold(slope=float() | int() as slope):
            return Firing(LEAKY, back=1, bound=slope)
        case Signed():
            return Firing(SIGNED, neuron.gamma, neuron.back, neuron.lower, states=("v", "sent"))
        case SpikeCalibrated():
            variant, states = _VARIANTS.index(neuron.variant), ("v", "balance", "last", "n")
            return Firing(CALIBRATED, neuron.gamma, 1, neuron.allowance, variant, states)
        case DifferentialMultiThreshold():
            most, states = neuron.max_per_step, ("v", "input", "output", "rest")
            return Firing(DIFFERENTIAL, most, most, neuron.share, states=states, graded=True)
        case Tracking():
            return Firing(ROUNDING, neuron.gamma, neuron.gamma)
    return None


def without_bias(neuron: Neuron) -> Neuron:
    """The neuron that fires, where one only adds a bias to what arrives in each step."""
    return neuron.inner if isinstance(neuron, TimedBias) else neuron


def spikes_of(neuron: Neuron) -> tuple[int, int]:
    """Fewest (negative: taken back) and most spikes that a neuron can send in one step."""
    neuron = without_bias(neuron)
    firing = firing_of(neuron)
    if firing is not None:
        return -firing.back, firing.most
    positive = neuron.alphabet in ("binary", "burst", "weighted")
    return 0 if positive else -neuron.max_per_step, neuron.max_per_step


def range_of(neurons: Iterable[Neuron]) -> tuple[int, int]:
    """Fewest and most spikes that any of these neurons sends in one step."""
    ranges = [spikes_of(neuron) for neuron in neurons] or [(0, 1)]
    return min(least for least, _ in ranges), max(most for _, most in ranges)


def fits_bytes(neuron: Neuron) -> bool:
    """True where everything that is sent is a whole number of thresholds in a signed byte."""
    least, most = spikes_of(neuron)
    return neuron.integral and most <= MOST_IN_BYTES and least >= -MOST_IN_BYTES
