"""A conversion method is a recipe: one choice of part for each question.

A published method is a named preset. `recipe_from` turns what a matrix or a caller wrote, a name or
a mapping, into a `Recipe`; every override of a preset shows in its label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from conversion import initial, neurons, pooling, scales  # noqa: F401 (registers the parts)
from conversion.errors import RecipeError
from conversion.initial import Fraction, Initial, Zero
from conversion.neurons import Burst, IntegrateAndFire, Neuron, SpikeCalibrated
from conversion.parts import Part, build_part, nearest
from conversion.pooling import Gate, LateralInhibition, Pooling
from conversion.quantiser import Quantiser
from conversion.scales import Maximum, Percentile, Scale

Group = Literal["binary", "multi-level", "retrained", "baseline"]
KINDS = ("scale", "neuron", "initial", "pooling")


@dataclass(frozen=True)
class Recipe:
    """One conversion method: independent choices, and where they come from."""

    name: str
    summary: str
    paper: str
    scale: Scale = Percentile()
    neuron: Neuron | Quantiser = IntegrateAndFire()
    initial: Initial = Zero()
    pooling: Pooling = Gate()
    label: str = ""  # shown on the leaderboard; the name unless parameters were overridden

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.name)

    @property
    def group(self) -> Group:
        """Fairness group: only recipes of one group compare directly."""
        if isinstance(self.neuron, Quantiser):
            return "baseline"
        # Graded pooling does not count here: what a *neuron* sends decides.
        return "binary" if self.neuron.alphabet == "binary" else "multi-level"

    def parts(self) -> dict[str, Any]:
        """Every resolved choice with its parameters, as plain values."""
        return {kind: getattr(self, kind).as_dict() for kind in KINDS}


_PRESETS: dict[str, Recipe] = {}


def preset(recipe: Recipe) -> Recipe:
    """Register a recipe under its name."""
    if recipe.name in _PRESETS:
        raise ValueError(f"recipe '{recipe.name}' is registered twice")
    _PRESETS[recipe.name] = recipe
    return recipe


def recipe_names() -> list[str]:
    """Names of all presets."""
    return list(_PRESETS)


def recipe_from(spec: str | Mapping[str, Any] | Recipe) -> Recipe:
    """Recipe from a preset's name, or a mapping of `preset`, parts to change, and `label`.

    Example:
        recipe_from({"preset": "burst", "neuron": {"gamma": 10}})

    Raises:
        RecipeError: unknown preset, part or parameter; names the nearest valid one.
    """
    if isinstance(spec, Recipe):
        return spec
    if not isinstance(spec, str | Mapping):
        raise RecipeError(f"a recipe is a preset's name, a mapping or a Recipe, got {spec!r}")
    values = {"preset": spec} if isinstance(spec, str) else dict(spec)
    name = values.pop("preset", None)
    if not isinstance(name, str) or name not in _PRESETS:
        raise RecipeError(f"unknown recipe '{name}'; {nearest(str(name), _PRESETS)}")
    base = _PRESETS[name]
    label = values.pop("label", None)
    changed: dict[str, Part] = {}
    for kind, choice in values.items():
        if kind not in KINDS:
            raise RecipeError(f"recipe '{name}' has no choice '{kind}'; {nearest(kind, KINDS)}")
        changed[kind] = build_part(kind, choice, getattr(base, kind))
    recipe = replace(base, **changed)  # type: ignore[arg-type]
    return replace(recipe, label=str(label) if label else _label(base, recipe))


def _label(base: Recipe, recipe: Recipe) -> str:
    """Preset name followed by what was changed, e.g. "burst gamma=10"."""
    changes = []
    for kind in KINDS:
        before, after = base.parts()[kind], recipe.parts()[kind]
        if before["name"] != after["name"]:
            changes.append(after["name"])
            before = build_part(kind, after["name"]).as_dict()
        changes += [f"{k}={v}" for k, v in after.items() if before[k] != v]
    return " ".join([base.name, *changes])


preset(
    Recipe(
        "maxnorm",
        "Threshold at the largest activation of each layer; safe and slow.",
        "Diehl et al. 2015, doi:10.1109/IJCNN.2015.7280696 (soft reset in place of hard reset)",
        scale=Maximum(),
    )
)
preset(
    Recipe(
        "percentile",
        "Threshold at the 99.9th percentile of activations, so outliers do not slow the layer.",
        "Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682",
    )
)
preset(
    Recipe(
        "opi",
        "Percentile thresholds and membranes that start half full.",
        "Bu et al. 2022 (AAAI), arXiv 2202.01440",
        initial=Fraction(),
    )
)
preset(
    Recipe(
        "burst",
        "Up to five spikes a step, and lossless lateral-inhibition pooling.",
        "Li & Zeng 2022 (IJCAI), arXiv 2204.13271",
        neuron=Burst(),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "spicalib",
        "Burst neurons that take wrong spikes back, and lossless pooling for any max pooling.",
        "Li, He, Dong, Kong, Zeng 2022, arXiv 2207.02702",
        neuron=SpikeCalibrated(),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "ptq",
        "No spikes: the ANN with activations of t levels and 8-bit weights, the baseline to beat.",
        "Post-training quantisation; thresholds by least squared error",
        neuron=Quantiser(),
    )
)
