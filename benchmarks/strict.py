"""The base of everything that a matrix file fills in: nothing unknown, and no truth value for a number."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Strict(BaseModel):
    """Unknown fields are refused, and so are truth values and infinity for numbers; nothing changes later.

    Python takes true for 1, and so does pydantic.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _number_or_truth(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        if bool in kinds or not kinds & {int, float}:
            return value
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, bool):
                raise ValueError(f"{str(one).lower()} is a truth value, not a number; write a number")
        return value


def _kinds(annotation: Any) -> set[Any]:
    """Every type that an annotation names."""
    return {annotation}.union(*map(_kinds, get_args(annotation)))
