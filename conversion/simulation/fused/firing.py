"""Which neurons the kernels fire, and how they are described to them; see native/neurons.h."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import torch

from conversion.functions.elementwise import Elementwise
from conversion.neurons import (
    BipolarIntegrateAndFire,
    Burst,
    DifferentialBothSigns,
    DifferentialMultiThreshold,
    ImbalancedThreshold,
    Integer,
    IntegrateAndFire,
    MirroredMultiThreshold,
    MultiThreshold,
    Neuron,
    Signed,
    SignedMultiThreshold,
    SpikeCalibrated,
    TimedBias,
    Tracking,
    TwoSided,
)

BINARY, BURST, SIGNED, CALIBRATED, LEAKY, DIFFERENTIAL = range(1, 7)  # kinds in neurons.h
ROUNDING, TRACKING, BOUNDED, MEANS, TWO_SIDED, CAPPED, BIPOLAR, ESTIMATES = range(7, 15)
NEAREST_LEVEL = 1  # variant of ROUNDING, TRACKING or BOUNDED: powers of two alone are sent
ONE_SIGN, BOTH_SIGNS = range(2)  # variants of DIFFERENTIAL and CAPPED
# How spikes are counted: by their size, each once, by the ones of their binary digits.
SIZES, ONES, DIGITS = range(3)
IN_TABLES = frozenset({BINARY, BURST, SIGNED, CALIBRATED, LEAKY, ROUNDING, TRACKING, BOUNDED})
_VARIANTS = ("fix", "cons", "code")
_KNOWN = frozenset(
    {
        BipolarIntegrateAndFire,
        Burst,
        DifferentialBothSigns,
        DifferentialMultiThreshold,
        ImbalancedThreshold,
        Integer,
        IntegrateAndFire,
        MirroredMultiThreshold,
        MultiThreshold,
        Signed,
        SignedMultiThreshold,
        SpikeCalibrated,
        Tracking,
        TwoSided,
    }
)
MOST_IN_BYTES = 127  # spikes of one neuron in one step, of either sign
MOST_UNSIGNED = 255  # the same where none is negative
MOST_DIGITS = 16  # binary digits that are counted


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
        counted: how spikes are counted: `SIZES`, `ONES` or `DIGITS`.
        given: what arrives is F of all that has arrived so far, not a current.
    """

    kind: int
    most: int = 1
    back: int = 0
    bound: float = 0.0
    variant: int = 0
    states: tuple[str, ...] = ("v",)
    counted: int = SIZES
    given: bool = False

    @property
    def fires(self) -> bool:
        """False for those that only say what has arrived."""
        return self.kind not in (MEANS, ESTIMATES)

    @property
    def inside(self) -> bool:
        """True where the kernel does all that follows the sum of currents, also a telescoped function."""
        return not self.given

    @property
    def in_tables(self) -> bool:
        """True where the table kernel fires them, too."""
        return self.kind in IN_TABLES and self.counted == SIZES and not self.given


def _carrier(least: int, most: int) -> torch.dtype:
    if least >= -MOST_IN_BYTES and most <= MOST_IN_BYTES:
        return torch.int8
    return torch.uint8 if least >= 0 and most <= MOST_UNSIGNED else torch.float32


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


@cache
def given(firing: Firing) -> Firing:
    """The same neurons where F of all that has arrived is what they get, not a current."""
    return replace(firing, given=True)


@cache
def telescoped(neuron: Neuron, function: Elementwise) -> Telescoped | None:
    """How the kernels fire a neuron behind a telescoped function; None if they do not."""
    plain = firing_of(neuron)
    if plain is None:
        return None
    outside = Telescoped(function, given(plain))
    if plain.kind != ROUNDING:
        return outside
    tracking = replace(plain, kind=TRACKING, states=("v", "arrived", "answer"))
    match function:
        case Elementwise("relu"):
            return Telescoped(function, tracking)
        case Elementwise("leaky_relu", (float() | int() as slope,)):
            return Telescoped(function, replace(tracking, bound=float(slope)))
        case Elementwise("hardtanh", (0 | 0.0, float() | int() as high)):
            states = (*tracking.states, "ceiling")
            return Telescoped(function, replace(tracking, kind=BOUNDED, states=states), float(high))
    return outside


def firing_of(neuron: Neuron, capped: bool = False) -> Firing | None:
    """How the kernels fire a neuron; None if they do not.

    Args:
        neuron: what it is.
        capped: it keeps its own output below an upper bound, see `SpikingLayer.capped`.
    """
    found = _firing_of(neuron)
    if found is None or not capped:
        return found
    if found.kind != DIFFERENTIAL:
        return None
    return replace(found, kind=CAPPED, states=(*found.states, "most"))


def _firing_of(neuron: Neuron) -> Firing | None:
    if type(neuron) not in _KNOWN:  # a class derived from one of these may do other things in a step
        return None
    most = neuron.largest_spike
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
        case DifferentialMultiThreshold() | DifferentialBothSigns():
            variant = BOTH_SIGNS if isinstance(neuron, DifferentialBothSigns) else ONE_SIGN
            kept = ("v", "input", "output", "rest")
            return Firing(DIFFERENTIAL, most, most, neuron.share, variant, kept, ONES)
        case Tracking():
            return Firing(ROUNDING, most, most)
        case MirroredMultiThreshold() if neuron.levels <= MOST_DIGITS:
            return Firing(ROUNDING, most, most, counted=DIGITS)
        case MultiThreshold() if neuron.levels <= MOST_DIGITS:
            return Firing(BURST, most, counted=DIGITS)
        case SignedMultiThreshold():
            return Firing(ROUNDING, most, most, variant=NEAREST_LEVEL, counted=ONES)
        case TwoSided():
            return Firing(TWO_SIDED, most, most, neuron.lower)
        case BipolarIntegrateAndFire():
            return Firing(BIPOLAR, most, most, float(neuron.levels), neuron.below, ("v", "sent", "rest"))
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


def carriers_of(neurons: Iterable[Neuron]) -> dict[Neuron, torch.dtype]:
    """What holds the spikes of each neuron of a network, where they are sent to layers with weights.

    Whole numbers of thresholds travel in bytes where they fit, anything else as values, in floats. Bytes
    without a sign are not mixed with negative ones.
    """
    found = {neuron: _carrier(*spikes_of(neuron)) if neuron.integral else torch.float32 for neuron in neurons}
    if any(spikes_of(neuron)[0] < 0 for neuron, carrier in found.items() if carrier is torch.int8):
        return {n: torch.float32 if carrier is torch.uint8 else carrier for n, carrier in found.items()}
    return found


def range_of(neurons: Iterable[Neuron]) -> tuple[int, int]:
    """Fewest and most spikes that any of these neurons sends in one step, of those that send bytes."""
    carriers = carriers_of(neurons)
    ranges = [spikes_of(n) for n, carrier in carriers.items() if carrier is not torch.float32] or [(0, 1)]
    return min(least for least, _ in ranges), max(most for _, most in ranges)
