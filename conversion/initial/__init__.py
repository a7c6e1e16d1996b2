"""Which membrane potential a neuron starts from; importing this room registers all rules."""

from conversion.initial.base import Fraction, Initial, Shift, Zero
from conversion.initial.presimulation import Offset, Residual

__all__ = ["Fraction", "Initial", "Offset", "Residual", "Shift", "Zero"]
