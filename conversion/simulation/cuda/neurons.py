"""Which neurons the kernels fire, and how these are described to them; see kernels/firing.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conversion.neurons import (
    DifferentialMultiThreshold,
    MultiThreshold,
    Neuron,
    SignedMultiThreshold,
    Tracking,
)
from conversion.simulation.fused import firing
from conversion.simulation.fused.firing import firing_of

BINARY, BURST, SIGNED, CALIBRATED, LEAKY, DIFFERENTIAL, TRACKING, LEVELS = range(1, 9)
SIZES, ONES, BITS = range(3)  # how spikes are counted
MOST_BITS = 16  # of a spike whose binary digits are counted
_KINDS = {
    firing.BINARY: BINARY,
    firing.BURST: BURST,
    firing.SIGNED: SIGNED,
    firing.CALIBRATED: CALIBRATED,
    firing.LEAKY: LEAKY,
}


@dataclass(frozen=True)
class Spiking:
    """A neuron as the kernels know it.

    Attributes:
        kind: of kernels/firing.py.
        most: most spikes sent in one step; for neurons with levels, how many levels.
        back: most spikes taken back in one step.
        bound: a number that the kind needs: the lowest membrane, what is added to it before it is rounded,
            the slope, the allowance, the share.
        variant: of a kind that has several.
        states: entries of the neuron's state that are kept, in the order of kernels/firing.py.
        counted: how its spikes count: by their sizes, one each, or by the ones of their binary digits.
        largest: of what is sent in one step, of either sign.
    """

    kind: int
    most: int = 1
    back: int = 0
    bound: float = 0.0
    variant: int = 0
    states: tuple[str, ...] = ("v",)
    counted: int = SIZES
    largest: int = 1

    @property
    def constants(self) -> dict[str, Any]:
        """What a kernel is compiled for."""
        return {
            "KIND": self.kind,
            "STATES": len(self.states),
            "MOST": self.most,
            "BACK": self.back,
            "BOUND": float(self.bound),
            "VARIANT": self.variant,
            "COUNTED": self.counted,
        }

    @property
    def has_clock(self) -> bool:
        """True where what it does depends on the number of the step."""
        return self.kind in (CALIBRATED, DIFFERENTIAL)


def spiking_of(neuron: Neuron) -> Spiking | None:
    """How the kernels fire a neuron; None if they do not."""
    largest = neuron.max_per_step
    match neuron:
        case Tracking():
            return Spiking(TRACKING, neuron.gamma, largest=largest)
        case SignedMultiThreshold():
            return Spiking(LEVELS, neuron.levels, counted=ONES, largest=largest)
        case DifferentialMultiThreshold():
            states = ("v", "input", "output", "rest")
            return Spiking(
                DIFFERENTIAL, neuron.levels, bound=neuron.share, states=states, counted=ONES, largest=largest
            )
        case MultiThreshold() if neuron.levels <= MOST_BITS:
            return Spiking(BURST, largest, counted=BITS, largest=largest)
    found = firing_of(neuron)
    if found is None or found.kind not in _KINDS or found.counted != firing.SIZES:
        return None
    return Spiking(
        _KINDS[found.kind],
        found.most,
        found.back,
        found.bound,
        found.variant,
        found.states,
        SIZES,
        max(found.most, found.back),
    )
