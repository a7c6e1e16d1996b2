"""How a matrix is tuned: the section `tuning` of a matrix file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from benchmarks.strict import Strict

Sampler = Literal["gp", "tpe", "random"]
Objective = Literal["kl", "metric"]

# SpiCalib (arXiv 2207.02702) sets one percentile for all layers by the KL divergence on one batch, with
# 5 random and 30 guided trials; the first trial is always the recipe as it is, so 6 and 36. The paper
# searches p from 0.95; here the range is wider, because searches have ended at that edge.
PRESETS: dict[str, dict[str, Any]] = {
    "spicalib": {
        "objective": "kl",
        "sampler": "gp",
        "trials": 36,
        "startup_trials": 6,
        "images": 100,
        "search": {"scale.p": [0.9, 1.0], "neuron.gamma": None, "neuron.allowance": None},
    }
}


class TuningSpec(Strict):
    """Budget and objective of every study of a matrix: the same for all recipes."""

    preset: Literal["spicalib"] | None = None  # values for all fields that are not given
    objective: Objective = "kl"  # divergence from the ANN's outputs, or the task's metric
    sampler: Sampler = "gp"  # Gaussian process, tree-structured Parzen estimator, or random search
    trials: int = Field(default=35, ge=1)  # of each study, with pruned ones and the recipe's own values
    startup_trials: int = Field(default=5, ge=1)  # the recipe's own values, then random ones
    t: int | None = Field(default=None, ge=1)  # read-out tuned for; None: the matrix's last time step
    images: int = Field(default=100, ge=1)  # that a trial is judged on
    seed: int = Field(default=0, ge=0, lt=2**32)  # of the sampler
    prune: bool = True  # stop trials that are behind the median at an early read-out
    # Parameter -> range [low, high], list of choices, or None for the range that the part declares.
    # None: every parameter that a part declares.
    search: dict[str, list[Any] | None] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("preset") in PRESETS:
            return {**PRESETS[values["preset"]], **values}
        return values

    @field_validator("search")
    @classmethod
    def _named_ranges(cls, value: dict[str, list[Any] | None] | None) -> Any:
        for name, choices in (value or {}).items():
            if choices is not None and not choices:
                raise ValueError(f"{name}: give [low, high] or a list of choices")
        return value

    def overridden(self, options: Mapping[str, Any]) -> TuningSpec:
        """These settings with all options that are not None in their place."""
        given = {name: value for name, value in options.items() if value is not None}
        return TuningSpec.model_validate({**self.model_dump(exclude_unset=True), **given})
