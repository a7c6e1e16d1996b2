"""Converted networks in files: plain data and tensors, so that loading one runs no code from it.

    snn.save("network.pt")
    snn = conversion.load("network.pt")

A file says what a network is made of: the graph, operation by operation, with the names of functions and
modules; the recipe with its parts; roles, thresholds, and calibration images where the recipe may need them
again. `networks` knows all kinds of networks, `graphs` and `modules` what is in them, `files` how a file
is written and checked.
"""

from conversion.converted import Converted
from conversion.saving.files import load, save

__all__ = ["load", "save"]

Converted._writer = save
