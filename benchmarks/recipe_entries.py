"""Entries of a matrix's recipes: what a recipe is, and how its parameters were tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from conversion import Recipe, RecipeError, recipe_from
from leaderboard.records.record import Tuning


@dataclass(frozen=True)
class RecipeEntry:
    """One entry, parsed when the matrix is read.

    Attributes:
        written: the entry as the matrix has it: a preset's name, or a mapping.
        recipe: what it stands for.
        tuning: how the recipe's parameters were found; None for a recipe that was not tuned.
    """

    written: str | dict[str, Any]
    recipe: Recipe
    tuning: Tuning | None = None

    @classmethod
    def parse(cls, written: str | dict[str, Any]) -> RecipeEntry:
        """Parse an entry.

        Raises:
            RecipeError: the recipe is unknown, or its field `tuning` is not complete; names the field.
        """
        if not isinstance(written, Mapping) or "tuning" not in written:
            return cls(written, recipe_from(written))
        values = dict(written)
        found = values.pop("tuning")
        try:
            return cls(written, recipe_from(values), Tuning.model_validate(found))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(["tuning", *map(str, first["loc"])])
            raise RecipeError(f"{where}: {first['msg']}") from error

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A field of a matrix takes what is written, keeps what was parsed, and is written as it was."""
        return core_schema.no_info_after_validator_function(
            _parsed,
            handler.generate_schema(str | dict[str, Any]),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda entry: entry.written),
        )


def _parsed(written: str | dict[str, Any]) -> RecipeEntry:
    try:
        return RecipeEntry.parse(written)
    except RecipeError as error:
        raise ValueError(str(error)) from error


def entry_of(recipe: Recipe, label: str, tuning: Tuning) -> dict[str, Any]:
    """What a matrix has to say for this recipe: all parts with all parameters."""
    return {"preset": recipe.name, "label": label, **recipe.parts(), "tuning": tuning.model_dump()}
