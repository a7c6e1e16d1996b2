"""The commands `spikemark list` and `spikemark describe`: what there is, and what is known of a recipe."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.commands.options import RESULTS, stop
from benchmarks.output import printable, say, screen


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
    it can convert, what was measured in RESULTS, and what papers report.
    """
    from benchmarks.commands.describing import parse, show_known, show_recipe
    from conversion import RecipeError
    from leaderboard import StoreError

    console = screen()
    try:
        chosen = parse(recipe)
        show_recipe(chosen, console)
        show_known(chosen.name, results, console)
    except (RecipeError, StoreError) as error:
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
    if what == "recipes":
        from conversion import recipe_from, recipe_names
        from leaderboard.ranking.wording import GROUP_TITLES

        recipes = [recipe_from(name) for name in recipe_names()]
        return {
            GROUP_TITLES[group]: [(each.name, each.summary) for each in recipes if each.group == group]
            for group in GROUP_TITLES
        }
    if what == "networks":
        from lightning_modules import networks

        return {"": [(name, networks.describe(name)) for name in networks.names()]}
    from datamodules import registry

    return {"": [(name, registry.describe(name)) for name in registry.names()]}
