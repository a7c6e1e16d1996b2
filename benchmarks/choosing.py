"""Choose one cell of a matrix by the names of its network and recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.cells import Cell, expand_one
from benchmarks.errors import AnnError
from benchmarks.spec import Matrix
from conversion import Recipe, RecipeError, recipe_from, recipe_names
from spikemark_plugins.names import did_you_mean


def choose_cell(matrix: Matrix, data_root: Path | None, network: str | None, recipe: str | None) -> Cell:
    """The cell of a network on its first data set and first seed, with a recipe.

    Args:
        matrix: and those in its `also`.
        data_root: folder that data sets and checkpoints are relative to.
        network: label or name of a network; None for the first.
        recipe: label of a recipe of the matrix that has the network, or a preset's name; None for the first
            recipe of that matrix.

    Raises:
        AnnError: there is no such network, or its checkpoint does not exist.
        RecipeError: there is no such recipe.
    """
    known: dict[str, None] = {}
    for part in matrix.all_parts():
        for cell in expand_one(part, data_root):
            if network in (None, cell.network, cell.ann.network.name):
                return replace(cell, recipe=_recipe_of(part, recipe), tuning=None)
            known[cell.network] = None
    raise AnnError(f"matrix '{matrix.name}' has no network '{network}'{did_you_mean(network, sorted(known))}")


def _recipe_of(matrix: Matrix, name: str | None) -> Recipe:
    if name is None:
        return matrix.recipes[0].recipe
    for entry in matrix.recipes:
        if entry.recipe.label == name:
            return entry.recipe
    if name in (presets := recipe_names()):
        return recipe_from(name)
    known = {*presets, *(entry.recipe.label for entry in matrix.recipes)}
    raise RecipeError(f"unknown recipe '{name}'{did_you_mean(name, sorted(known))}")
