"""What a recipe does and needs, read off its parts; `descriptions` shows it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal, get_args, get_origin, get_type_hints

from benchmarks.commands.descriptions import CATALOGUE, Description, PartDescription
from conversion import Recipe, RecipeError, recipe_from, recipe_names
from conversion.neurons.quantiser import Quantiser
from conversion.parts import Part
from conversion.recipes import KINDS
from conversion.scales import Scale
from leaderboard.files.yaml_files import YamlError, read_text
from leaderboard.ranking.wording import GROUP_TITLES

EXAMPLE_T, EXAMPLE_DEPTH = 16, 10


def parse(text: str) -> Recipe:
    """Recipe from a preset's name, or from a mapping in YAML as matrices have it.

    Raises:
        RecipeError: no YAML, or no such recipe, part or parameter; names the nearest valid one.
    """
    try:
        return recipe_from(read_text(text, "the recipe").content)
    except YamlError as error:
        raise RecipeError(f"'{text}' is neither a recipe's name nor a YAML mapping: {error}") from error


def described(recipe: Recipe) -> Description:
    """What a recipe is, what it needs, and its parts."""
    parts = []
    for kind in KINDS:
        part: Part = getattr(recipe, kind)
        lines = [list(line) for line in parameters(part)]
        parts.append(PartDescription(kind, part.name, _summary(part), lines))
    return Description(
        recipe.label, recipe.name, recipe.group, recipe.summary, recipe.paper, needs(recipe), parts
    )


def needs(recipe: Recipe) -> dict[str, str]:
    """What a recipe's spikes are, and what it needs before and while it runs."""
    neuron = recipe.neuron
    said = {"group": GROUP_TITLES[recipe.group]}
    limit = "; ".join(recipe.floors) or "the ANN"
    if isinstance(neuron, Quantiser):
        return said | {"spikes": "none", "limit": limit, "calibration": "unlabelled training images"}
    most = neuron.largest_spike
    said["spikes"] = f"{neuron.alphabet}, up to {most} threshold{'s' if most != 1 else ''} a step"
    if neuron.worth:
        said["a spike"] = neuron.worth
    if neuron.steps_per_t > 1:
        said["spikes"] += f"; a step stands for {neuron.steps_per_t} time steps"
    fitted = [kind for kind in KINDS if getattr(getattr(recipe, kind), "needs_time_steps", False)]
    said["ANN"] = "trained with an activation made for conversion" if recipe.retrains else "left as it is"
    said["T beforehand"] = f"yes, fitted for each T ({', '.join(fitted)})" if fitted else "not needed"
    before = recipe.initial.steps + neuron.coding.needs_rest
    said["steps before"] = f"{before} before those that a read-out averages" if before else "none"
    total, between = neuron.latency(EXAMPLE_T, EXAMPLE_DEPTH), neuron.interval(EXAMPLE_T)
    said["input"] = "step by step"
    if neuron.whole_window:
        waits = "the whole window before a layer fires" if total > between else "step by step"
        said["input"] = f"{waits}, fitted to T"
    if total > between:
        said["latency"] = (
            f"at T = {EXAMPLE_T}, {total} steps for {EXAMPLE_DEPTH} layers that wait for each other; "
            f"pipelined, an answer every {between}"
        )
    said["limit"] = limit
    if recipe.most_time_steps is not None:
        said["largest T"] = str(recipe.most_time_steps)
    said["calibration"] = _calibration(recipe)
    return said


def _calibration(recipe: Recipe) -> str:
    """Which data a recipe is fitted on."""
    images = "unlabelled training images (`calibration_images` of a matrix)"
    if recipe.retrains:
        images += ", though thresholds come from training"
    run = ["scale"] if type(recipe.scale).fit is not Scale.fit and not recipe.retrains else []
    run += [kind for kind in ("correction", "allocation", "exit") if _chosen(recipe, kind)]
    return f"{images}; the network runs on them to fit its {' and '.join(run)}" if run else images


def _chosen(recipe: Recipe, kind: str) -> bool:
    """Whether a recipe does anything at all in answer to this question."""
    plain: str = getattr(_PLAIN, kind).name
    chosen: str = getattr(recipe, kind).name
    return plain != chosen


_PLAIN = Recipe("plain", "", "")


def parameters(part: Part) -> list[tuple[str, str, str]]:
    """Name and value, default where it differs, and search range or choices of every parameter."""
    hints = get_type_hints(type(part))
    lines = []
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        default = "" if value == field.default else f"default {field.default}"
        lines.append((f"  {field.name} = {value}", default, _range(field, hints[field.name])))
    return lines


def _range(field: dataclasses.Field[Any], hint: Any) -> str:
    if "range" in field.metadata:
        low, high = field.metadata["range"]
        unit = " times T" if field.metadata.get("of_time_steps") else ""
        return f"searched from {low} to {high}{unit}{', logarithmically' if field.metadata['log'] else ''}"
    return f"one of {', '.join(map(str, get_args(hint)))}" if get_origin(hint) is Literal else ""


def _summary(part: Part) -> str:
    """First paragraph of a part's docstring, on one line."""
    paragraph = (type(part).__doc__ or "").strip().partition("\n\n")[0]
    return " ".join(paragraph.split())


def everything() -> dict[str, dict[str, Any]]:
    """The catalogue, as the code says it now."""
    from datamodules import registry
    from lightning_modules import networks

    return {
        "recipes": {name: described(recipe_from(name)).as_data() for name in recipe_names()},
        "networks": {name: networks.describe(name) for name in networks.names()},
        "datasets": {name: registry.describe(name) for name in registry.names()},
    }


if __name__ == "__main__":
    CATALOGUE.write_text(json.dumps(everything(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
