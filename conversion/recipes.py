"""A conversion method is a recipe: one choice of part for each question.

A published method is a named preset. `recipe_from` turns what a matrix or a caller wrote, a name or
a mapping, into a `Recipe`; every override of a preset shows in its label.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from conversion.allocation import Allocation, Uniform
from conversion.corrections import Correction, NoCorrection
from conversion.errors import RecipeError
from conversion.exits.rules import Exit, NoExit
from conversion.functions.elementwise import IDENTITY
from conversion.graph.operations import Kind
from conversion.graph.roles import Role
from conversion.nearest import nearest
from conversion.neurons import Neuron
from conversion.neurons.quantiser import Quantiser
from conversion.parts import Part, build_part
from conversion.plan.method import Method
from conversion.plan.plan import beyond
from conversion.readouts import Average, ReadoutRule
from conversion.scales import Percentile, Scale
from conversion.signals.coding import RATE
from spikemark_plugins import RECIPES, load

Group = Literal["binary", "multi-level", "retrained", "baseline"]
LONGEST_LABEL = 500  # characters; records take 1,000
KINDS = ("scale", "neuron", "initial", "pooling", "correction", "allocation", "readout", "exit")


@dataclass(frozen=True, kw_only=True)
class Recipe(Method):
    """One conversion method: independent choices, and where they come from."""

    scale: Scale = Percentile()
    correction: Correction = NoCorrection()
    allocation: Allocation = Uniform()
    readout: ReadoutRule = Average()
    exit: Exit = NoExit()

    @property
    def retrains(self) -> bool:
        """True where the ANN must have been trained with an activation made for conversion."""
        return self.scale.needs_training

    @property
    def group(self) -> Group:
        """Fairness group on an ANN as it is: only recipes of one group compare directly."""
        if isinstance(self.neuron, Quantiser):
            return "baseline"
        if self.retrains:
            return "retrained"
        # Graded pooling does not count here: what a *neuron* sends decides.
        return "binary" if self.neuron.alphabet == "binary" else "multi-level"

    @property
    def needs_time_steps(self) -> bool:
        """True where T must be known: the network is fitted again for every t it is read out at."""
        fitted = (self.scale, self.initial, self.correction, self.allocation)
        return any(part.needs_time_steps for part in fitted)

    def fit_forwards(self, images: int, time_steps: Iterable[int]) -> int:
        """ANN forwards that fitting costs, a time step counted as one; what allocations try is left out.

        Args:
            images: for calibration; each runs through the ANN once.
            time_steps: of the read-outs.
        """
        lengths = self.lengths(time_steps) if self.needs_time_steps else [max(time_steps)]
        once = self.scale.fit_forwards(images)
        return images + sum(once + self.correction.fit_forwards(images, t) for t in lengths)

    @property
    def floors(self) -> tuple[str, ...]:
        """What keeps the limit away from the ANN by design, in words; without any, the limit is the ANN."""
        neuron = self.neuron
        most, bounded = (1, True) if isinstance(neuron, Quantiser) else (neuron.max_per_step, neuron.bounded)
        clips = self.scale.clips(most) if bounded else ""
        return tuple(floor for floor in (clips, *(getattr(self, kind).floor for kind in KINDS)) if floor)

    def lengths(self, time_steps: Iterable[int]) -> list[int]:
        """T that one simulation with these read-outs is fitted for: with exits, it is the last one alone."""
        steps = sorted(set(time_steps))
        return steps if isinstance(self.exit, NoExit) else steps[-1:]

    def parts(self) -> dict[str, Any]:
        """Every resolved choice with its parameters, as plain values."""
        return {kind: getattr(self, kind).as_dict() for kind in KINDS}


def check_combination(recipe: Recipe, roles: Mapping[Any, Role]) -> None:
    """Refuse parts that do not fit each other or the network, before any work starts.

    Raises:
        RecipeError: names the parts and the layer.
    """
    neuron = recipe.neuron
    if recipe.exit.name != "none" and (isinstance(neuron, Quantiser) or neuron.whole_window):
        raise RecipeError(
            f"recipe '{recipe.label}': exit '{recipe.exit.name}' reads out in every step, which neuron "
            f"'{neuron.name}' does not allow; it answers only after the last one"
        )
    if isinstance(neuron, Quantiser):
        return
    if recipe.initial.steps and neuron.coding.needs_rest:
        raise RecipeError(
            f"recipe '{recipe.label}': initial '{recipe.initial.name}' runs rate-coded steps before "
            f"the read-out, neuron '{neuron.name}' is coded by {neuron.coding.name}"
        )
    if recipe.initial.steps and neuron.whole_window:
        raise RecipeError(
            f"recipe '{recipe.label}': initial '{recipe.initial.name}' runs steps before the read-out, but "
            f"neuron '{neuron.name}' waits for a whole window"
        )
    if not recipe.initial.accepts(neuron):
        raise RecipeError(
            f"recipe '{recipe.label}': initial '{recipe.initial.name}' does not fit neuron '{neuron.name}'; "
            "it judges a membrane by what integrate-and-fire, burst, signed and spike-calibrated neurons "
            "leave in it"
        )
    for part in (recipe.scale, recipe.correction):
        if part.runs_spikes and neuron.coding is not RATE:
            raise RecipeError(
                f"recipe '{recipe.label}': {part.kind} '{part.name}' compares firing rates with activations, "
                f"neuron '{neuron.name}' is coded by {neuron.coding.name}"
            )
    if recipe.readout.name != "average" and (neuron.coding.needs_rest or neuron.whole_window):
        raise RecipeError(
            f"recipe '{recipe.label}': read-out '{recipe.readout.name}' needs spikes that mean the same in "
            f"every step, which those of neuron '{neuron.name}' do not"
        )
    _check_both_signs(recipe, neuron, roles)
    _check_functions(recipe, neuron, roles)
    for role in roles.values():
        if role.kind is Kind.POOLING and neuron.coding.needs_rest and not recipe.pooling.graded:
            raise RecipeError(
                f"recipe '{recipe.label}': pooling '{recipe.pooling.name}' of layer '{role.name}' picks "
                f"among spikes, but those of neuron '{neuron.name}' are changes of an estimate; use pooling "
                "lateral-inhibition"
            )
        if recipe.retrains and role.kind is Kind.NEURON and role.levels is None:
            raise RecipeError(
                f"recipe '{recipe.label}': scale '{recipe.scale.name}' takes the threshold that a layer has "
                f"learned in training, and layer '{role.name}' ({role.operation}) has none; train the "
                "network with `activation: qcfs`, an option of networks in a matrix, or with "
                "conversion.graph.activations.QCFS in place of ReLU, or choose another scale: "
                f"{{preset: {recipe.name}, scale: percentile}}"
            )


def _check_both_signs(recipe: Recipe, neuron: Neuron, roles: Mapping[Any, Role]) -> None:
    """Refuse neurons that rectify where activations have negative values."""
    if neuron.both_signs is not None:
        return
    for role in roles.values():
        where = (
            f"recipe '{recipe.label}': neuron '{neuron.name}' cannot send the negative values of layer "
            f"'{role.name}' ({role.operation}"
        )
        if any(role.slopes) and not neuron.leaky:
            raise RecipeError(f"{where}, {_in_words(role.slope)}); {_able('spiking-yolo')}")
        if role.function is not None and role.function != IDENTITY and role.function.signed:
            raise RecipeError(f"{where}); {_able()}")


def _check_functions(recipe: Recipe, neuron: Neuron, roles: Mapping[Any, Role]) -> None:
    """Refuse functions beyond the ReLU family that this recipe cannot telescope, or cannot send."""
    functions = [role for role in roles.values() if role.kind is Kind.FUNCTION or beyond(neuron, role)]
    refits = (recipe.scale, recipe.scale.runs_spikes), (recipe.correction, not recipe.correction.telescopes)
    for part, refitted in refits:
        if refitted and (functions or not neuron.rectifies):
            wrong = f"layer '{functions[0].name}' ({functions[0].operation})" if functions else None
            raise RecipeError(
                f"recipe '{recipe.label}': {part.kind} '{part.name}' refits neurons by what a ReLU would "
                f"send, which is wrong for {wrong or f'neuron {neuron.name!r}'}; choose another {part.kind}"
            )
    if not functions:
        return
    if neuron.approximates and not recipe.allocation.fits_functions:
        raise RecipeError(
            f"recipe '{recipe.label}': neuron '{neuron.name}' needs coefficients for each function, which "
            "allocation few-spikes fits"
        )
    first = next((role for role in functions if role.function != IDENTITY), functions[0])
    where = f"recipe '{recipe.label}': layer '{first.name}' ({first.operation})"
    if recipe.initial.steps:
        raise RecipeError(
            f"{where} is a function of mean input, and initial '{recipe.initial.name}' runs steps before "
            f"the read-out; {_able()}"
        )


def check_signs(recipe: Recipe, roles: Mapping[Any, Role], negative: Collection[str]) -> None:
    """Refuse neurons that rectify where a relay has to send negative values.

    Args:
        recipe: the method.
        roles: of a network.
        negative: layers that were negative somewhere on the calibration images.

    Raises:
        RecipeError: names the layer.
    """
    if isinstance(recipe.neuron, Quantiser) or recipe.neuron.both_signs is not None:
        return
    for role in roles.values():
        if role.function == IDENTITY and role.name in negative:
            raise RecipeError(
                f"recipe '{recipe.label}': neuron '{recipe.neuron.name}' cannot send the negative values "
                f"that flow into the layer after '{role.name}'; {_able()}"
            )


def _able(*others: str) -> str:
    """Which recipes send values of both signs on an ANN as it is."""
    able = [
        recipe.name
        for recipe in _PRESETS.values()
        if isinstance(recipe.neuron, Neuron) and recipe.neuron.both_signs is not None and not recipe.retrains
    ]
    *most, last = sorted({*able, *others})
    return f"use recipe {', '.join(most)} or {last}"


def _in_words(slope: float | tuple[float, ...]) -> str:
    if isinstance(slope, tuple):
        return f"slopes {min(slope):g} to {max(slope):g}"
    return f"slope {slope:g}"


_PRESETS: dict[str, Recipe] = {}


def preset(recipe: Recipe) -> Recipe:
    """Register a recipe under its name."""
    if recipe.name in _PRESETS:
        raise ValueError(f"recipe '{recipe.name}' is registered twice")
    _PRESETS[recipe.name] = recipe
    return recipe


def recipe_names() -> list[str]:
    """Names of all presets, ours first, then those of plug-ins."""
    load(RECIPES)
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
        got = "images, which come after it" if hasattr(spec, "shape") else reprlib.repr(spec)
        raise RecipeError(f"a recipe is a preset's name, a mapping or a Recipe, got {got}")
    values = {"preset": spec} if isinstance(spec, str) else dict(spec)
    name = values.pop("preset", None)
    if not isinstance(name, str) or name not in _PRESETS:
        load(RECIPES)
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
    return replace(recipe, label=_checked(name, label) if label else _label(base, recipe))


def _checked(name: str, label: object) -> str:
    """A label that somebody gave.

    Raises:
        RecipeError: it is no short line of text.
    """
    if not isinstance(label, str | int | float) or isinstance(label, bool):
        raise RecipeError(f"recipe '{name}': label is a {type(label).__name__}; write some text")
    text = str(label)
    if len(text) > LONGEST_LABEL:
        raise RecipeError(f"recipe '{name}': label has {len(text)} characters; write at most {LONGEST_LABEL}")
    return text


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
