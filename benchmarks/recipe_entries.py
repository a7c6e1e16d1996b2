"""Entries of a matrix's recipes: what a recipe is, and how its parameters were tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from conversion import Recipe, RecipeError, recipe_from
from leaderboard.records import Tuning


def resolve(entry: Any) -> tuple[Recipe, Tuning | None]:
    """Recipe of a matrix's entry, and its field `tuning`; None for a recipe that was not tuned.

    Raises:
        RecipeError: the recipe is unknown, or what is said of its tuning is not complete; names the field.
    """
    if not isinstance(entry, Mapping) or "tuning" not in entry:
        return recipe_from(entry), None
    values = dict(entry)
    said = values.pop("tuning")
    try:
        return recipe_from(values), Tuning.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(["tuning", *map(str, first["loc"])])
        raise RecipeError(f"{where}: {first['msg']}") from error


def entry_of(recipe: Recipe, label: str, tuning: Tuning) -> dict[str, Any]:
    """Entry that gives this recipe, all parts with all parameters."""
    return {"preset": recipe.name, "label": label, **recipe.parts(), "tuning": tuning.model_dump()}
