"""What a recipe does and needs, read off its parts; and what is known of it, measured and published."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conversion import Recipe, RecipeError, recipe_from
from conversion.neurons.quantiser import Quantiser
from conversion.parts import Part
from conversion.recipes import KINDS
from conversion.scales import Scale
from leaderboard import ResultStore, load_published, rank, render, render_published
from leaderboard.files.yaml_files import YamlError, read_text
from leaderboard.published import beside, select_published
from leaderboard.ranking.boards import only_recipe
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


def show_recipe(recipe: Recipe, console: Console) -> None:
    """Print what a recipe is, what it needs, and its parts."""
    console.print(Text(recipe.label, style="bold"))
    for line in (recipe.summary, recipe.paper):
        console.print(Text(line))
    console.print()
    table = _table()
    for name, value in needs(recipe).items():
        table.add_row(Text(name, style="bold"), Text(value))
    console.print(table)
    for kind in KINDS:
        part: Part = getattr(recipe, kind)
        console.print()
        console.print(Text.assemble((f"{kind}: ", "bold"), part.name))
        console.print(Text(_summary(part)), soft_wrap=True)
        lines = parameters(part)
        if lines:
            table = _table()
            for cells in lines:
                table.add_row(*map(Text, cells))
            console.print(table)


def needs(recipe: Recipe) -> dict[str, str]:
    """What a recipe's spikes are, and what it needs before and while it runs."""
    neuron = recipe.neuron
    said = {"group": GROUP_TITLES[recipe.group]}
    limit = "; ".join(recipe.floors) or "the ANN"
    if isinstance(neuron, Quantiser):
        return said | {"spikes": "none", "limit": limit, "calibration": "unlabelled training images"}
    most = neuron.max_per_step
    said["spikes"] = f"{neuron.alphabet}, up to {most} threshold{'s' if most != 1 else ''} a step"
    if neuron.steps_per_t > 1:
        said["spikes"] += f"; a step stands for {neuron.steps_per_t} time steps"
    fitted = [kind for kind in KINDS if getattr(getattr(recipe, kind), "needs_time_steps", False)]
    said["ANN"] = "trained with an activation made for conversion" if recipe.retrains else "left as it is"
    said["T beforehand"] = f"yes, fitted for each T ({', '.join(fitted)})" if fitted else "not needed"
    before = recipe.initial.steps + neuron.coding.needs_rest
    said["steps before"] = f"{before} before those that a read-out averages" if before else "none"
    said["input"] = (
        "the whole window before a layer fires, fitted to T" if neuron.whole_window else "step by step"
    )
    total, between = neuron.latency(EXAMPLE_T, EXAMPLE_DEPTH), neuron.interval(EXAMPLE_T)
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


def show_known(name: str, results: Path, console: Console) -> None:
    """Print what was measured of a recipe, whatever its parameters, and what papers report.

    Raises:
        StoreError: the published figures cannot be read.
    """
    published = select_published(load_published(), recipe=name)
    boards = only_recipe(rank(ResultStore(results).load().records), name)
    console.print()
    if boards:
        console.print(Text(f"Measured, in {results}", style="bold"))
        render(boards, console, published)
    else:
        console.print(Text(f"Not measured yet: no records of it in {results}."))
    shown = {id(each.curve) for board in boards for each in beside(board, published)}
    others = [curve for curve in published if id(curve) not in shown]
    if others:
        console.print()
        console.print(Text("Published" + (" elsewhere" if shown else ""), style="bold"))
        render_published(others, console)


def _table() -> Table:
    return Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
