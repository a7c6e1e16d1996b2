"""The recipes of a matrix: each entry with the recipe that it names, and how its parameters were tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetPydanticSchema, ValidationError
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


def _parse_all(written: list[str | dict[str, Any]]) -> list[RecipeEntry]:
    entries = []
    for number, one in enumerate(written, start=1):
        try:
            entries.append(RecipeEntry.parse(one))
        except RecipeError as error:
            raise ValueError(f"entry {number}: {error}") from error
    return entries


def _schema(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    return core_schema.no_info_after_validator_function(
        _parse_all,
        handler.generate_schema(list[str | dict[str, Any]]),
        serialization=core_schema.plain_serializer_function_ser_schema(
            lambda entries: [entry.written for entry in entries]
        ),
    )


# A field of a matrix: it takes what is written, keeps what was parsed, and is written again as it was.
RecipeEntries = Annotated[list[RecipeEntry], GetPydanticSchema(_schema)]


def entry_of(recipe: Recipe, label: str, tuning: Tuning) -> dict[str, Any]:
    """What a matrix has to say for this recipe: all parts with all parameters."""
    return {"preset": recipe.name, "label": label, **recipe.parts(), "tuning": tuning.model_dump()}
