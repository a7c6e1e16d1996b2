"""Published methods by name, one file for each fairness group; importing this registers them all."""

from conversion.presets import (
    baseline,
    binary,
    custom,
    functions,
    layer_by_layer,
    multi_level,
    retrained,
    spikemark,
)

__all__ = [
    "baseline",
    "binary",
    "custom",
    "functions",
    "layer_by_layer",
    "multi_level",
    "retrained",
    "spikemark",
]
