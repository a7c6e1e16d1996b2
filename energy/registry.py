"""All energy models by name. A new model is one file with `MODELS`, named here."""

from __future__ import annotations

from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

from energy import memory, operations, operations_int8, skip_zeros
from energy.model import EnergyModel

_FILES = (operations, operations_int8, memory, skip_zeros)
_MODELS: dict[str, EnergyModel] = {model.name: model for file in _FILES for model in file.MODELS}

REFERENCE = "operations"  # the model that papers print; shown first


class UnknownModelError(ValueError):
    """No such model, or no such assumption of one."""


def models() -> dict[str, EnergyModel]:
    """Every model by name, the reference first."""
    return dict(_MODELS)


def by_name(name: str) -> EnergyModel:
    """The model of a name, or one with other assumptions, e.g. "memory:access_bits=64,membrane=clocked".

    Raises:
        UnknownModelError: there is none; lists the names of all models.
    """
    plain, colon, changes = name.partition(":")
    if plain not in _MODELS:
        near = get_close_matches(plain, _MODELS, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownModelError(f"no energy model {plain!r}: {hint}There are {', '.join(_MODELS)}")
    model = _MODELS[plain]
    if not colon:
        return model
    values = dict(_change(model, each) for each in changes.split(","))
    return replace(model, name=name, **values)


def _change(model: EnergyModel, text: str) -> tuple[str, Any]:
    key, _, written = text.partition("=")
    known = [field.name for field in fields(model) if field.name not in ("name", "summary")]
    if key not in known:
        raise UnknownModelError(
            f"{model.name!r} has no assumption {key!r}; it has {', '.join(known)}, "
            f'written as "{model.name}:{known[-1]}=VALUE"'
        )
    hint, now = get_type_hints(type(model))[key], getattr(model, key)
    choices = get_args(hint) or ((True, False) if isinstance(now, bool) else ())
    if choices:
        for choice in choices:
            if written.lower() == str(choice).lower():
                return key, choice
        raise UnknownModelError(
            f"{key} of {model.name!r} is {' or '.join(map(str, choices))}, not {written!r}"
        )
    try:
        value = type(now)(written)
    except ValueError:
        value = type(now)(0)
    if not 0 < value < float("inf"):
        raise UnknownModelError(f"{key} of {model.name!r} must be a positive number, got {written!r}")
    return key, value
