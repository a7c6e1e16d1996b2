"""The commands `spikemark list` and `spikemark describe`: what there is, and what is known of a recipe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.commands.options import RESULTS, stop
from benchmarks.commands.reading import GROUP_NAMES
from benchmarks.output import printable, say, screen
from spikemark_plugins.names import did_you_mean

if TYPE_CHECKING:
    from benchmarks.commands.descriptions import Description

_NAME = re.compile(r"[A-Za-z][\w.-]*")  # of a recipe; all else is YAML


@click.command(name="list")
@click.argument("what", type=click.Choice(["recipes", "networks", "datasets", "matrices", "energy"]))
def list_(what: str) -> None:
    """List the recipes (by fairness group), networks, datasets, matrices or energy models there are."""
    for heading, entries in _listing(what).items():
        if heading:
            say(f"{heading}:")
        for name, summary in entries:
            say(f"{'  ' if heading else ''}{printable(name):<18} {printable(summary)}")


@click.command()
@click.argument("recipe")
@RESULTS
def describe(recipe: str, results: Path) -> None:
    """Say what RECIPE does and needs, and what is known of it.

    RECIPE is a preset's name, or a mapping as matrices have it, e.g. "{preset: burst, neuron: {gamma: 10}}".
    Shows its parts with parameters and search ranges, its spikes and fairness group, what it needs before
    it can convert, what was measured in RESULTS, and what papers report. Of a network or a data set: the line
    that `spikemark list` has of it.
    """
    from benchmarks.commands.descriptions import known_recipe, show, show_known
    from leaderboard import StoreError

    console = screen()
    chosen = known_recipe(recipe) or _other(recipe)
    if isinstance(chosen, str):
        say(printable(chosen))
        return
    try:
        show(chosen, console)
        show_known(chosen.name, results, console)
    except StoreError as error:
        stop(str(error))


def _other(recipe: str) -> Description | str:
    """What is no preset of our own: a line of a network or data set, or a recipe read with PyTorch."""
    from benchmarks.commands.descriptions import catalogue

    known = catalogue("recipes")
    if known is not None and _NAME.fullmatch(recipe):  # a name, and none of those that there are
        for kind, what in (("networks", "network"), ("datasets", "data set")):
            found = (catalogue(kind) or {}).get(recipe)
            if found is not None:
                return f"{recipe}: a {what}. {found}"
        stop(f"unknown recipe {recipe!r}{did_you_mean(recipe, sorted(known))}")
    from benchmarks.commands.describing import described, parse
    from conversion import RecipeError

    try:
        return described(parse(recipe))
    except RecipeError as error:
        stop(str(error))


def _listing(what: str) -> dict[str, list[tuple[str, str]]]:
    """Heading -> names with one line each."""
    if what == "matrices":
        from benchmarks.matrix import bundled
        from leaderboard.files.yaml_files import read_file

        read = {name: read_file(path).content for name, path in bundled().items()}
        return {"": [(name, content.get("description", "")) for name, content in read.items()]}
    if what == "energy":
        import energy

        return {"": [(name, f"{model.summary}. {model.source}.") for name, model in energy.models().items()]}
    from benchmarks.commands.descriptions import catalogue

    known = catalogue(what)
    if known is None:  # a package adds some, so that all have to be asked
        from benchmarks.commands.describing import everything

        known = everything()[what]
    if what != "recipes":
        return {"": list(known.items())}
    titles = {each["group"]: each["needs"]["group"] for each in known.values()}
    return {
        titles[group]: [(each["name"], each["summary"]) for each in known.values() if each["group"] == group]
        for group in GROUP_NAMES
        if group in titles
    }
