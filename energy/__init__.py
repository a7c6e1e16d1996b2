"""What operations and memory accesses cost: energy models, computed from counts.

A model is a named set of assumptions. It takes counts (see `energy.counts`) and gives picojoules an
image, layer by layer and line by line: for a spiking network up to a time step, for the ANN that it came
from, and for that ANN quantised. `energy.registry` names all models, and nothing else has to know them.

This room knows the standard library alone. `conversion` measures counts and the leaderboard reads them
from records; both ask the same models, so old records can be read with newer models.
"""

from energy.counts import Function, Layer, Network, NotMeasured, Quantised, Run, matched_bits
from energy.model import Breakdown, EnergyModel
from energy.registry import REFERENCE, UnknownModelError, by_name, models
from energy.totals import ann_energies, breakdown, energies

__all__ = [
    "REFERENCE",
    "Breakdown",
    "EnergyModel",
    "Function",
    "Layer",
    "Network",
    "NotMeasured",
    "Quantised",
    "Run",
    "UnknownModelError",
    "ann_energies",
    "breakdown",
    "by_name",
    "energies",
    "matched_bits",
    "models",
]
