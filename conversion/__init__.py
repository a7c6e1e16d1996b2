"""ANN-to-SNN conversion: graph surgery, recipes, neurons, the simulator, energy.

    from conversion import convert

    snn = convert(ann, recipe="spicalib", calibration=images)  # ann is left untouched
    for readout in snn.simulate(images, time_steps=(1, 2, 4, 8)):
        print(readout.t, readout.output.argmax(1))  # mean output of steps 1..t
    snn.save("network.pt")  # load("network.pt") gives it back

This room knows torch and nothing of Lightning, trackers or tuning, so it can be used alone.
"""

from conversion import presets as _presets  # registers the published methods
from conversion.convert import PreparedNetwork, convert, prepare
from conversion.converted import Converted
from conversion.diagnosis.diagnostics import Diagnosis, diagnose
from conversion.errors import (
    CalibrationError,
    CaptureError,
    ConversionError,
    NirExportError,
    RecipeError,
    SavedNetworkError,
    SubmoduleError,
    UnsupportedOperations,
)
from conversion.network import SpikingNetwork
from conversion.outputs import Activity, Readout
from conversion.recipes import Recipe, recipe_from, recipe_names
from conversion.report import Audit
from conversion.saving import load

__all__ = [
    "Activity",
    "Audit",
    "CalibrationError",
    "CaptureError",
    "ConversionError",
    "Converted",
    "Diagnosis",
    "NirExportError",
    "PreparedNetwork",
    "Readout",
    "Recipe",
    "RecipeError",
    "SavedNetworkError",
    "SpikingNetwork",
    "SubmoduleError",
    "UnsupportedOperations",
    "convert",
    "diagnose",
    "load",
    "prepare",
    "recipe_from",
    "recipe_names",
]

del _presets
