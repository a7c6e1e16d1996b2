"""Parts of a recipe: small frozen dataclasses, registered by kind and name.

A part declares its parameters once, as dataclass fields; `searched(default, low, high)` adds the
range that tuning explores. Parts are built from plain mappings, so a recipe is a line of YAML.
"""

from __future__ import annotations

import dataclasses
import numbers
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, get_type_hints

from conversion.errors import RecipeError
from conversion.nearest import nearest
from spikemark_plugins import RECIPES, load


@dataclasses.dataclass(frozen=True)
class Part:
    """One choice of a recipe."""

    kind: ClassVar[str]  # the question it answers: "scale", "neuron", "initial", "pooling"
    name: ClassVar[str]

    @property
    def floor(self) -> str:
        """What keeps the network away from the ANN however many steps are run, in words; "": nothing."""
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Name and parameters as plain values, the form that `build_part` takes."""
        return {"name": self.name, **dataclasses.asdict(self)}


P = TypeVar("P", bound=type[Part])
_REGISTRY: dict[str, dict[str, type[Part]]] = {}


def register(cls: P) -> P:
    """Make a part known under its kind and name; a second part of that name is refused."""
    known = _REGISTRY.setdefault(cls.kind, {})
    if cls.name in known:
        raise ValueError(f"{cls.kind} '{cls.name}' is registered twice")
    known[cls.name] = cls
    return cls


def searched(default: Any, low: float, high: float, log: bool = False, of_time_steps: bool = False) -> Any:
    """Dataclass field with the range [low, high] that tuning searches.

    Args:
        default: of the field.
        low: lower end of the range.
        high: upper end of the range.
        log: search evenly over the logarithm.
        of_time_steps: the range counts in multiples of T, the time steps of the read-out tuned for.

    Fields that are true or false, or one of a few words, are searched over all of them without this.
    """
    meta = {"range": (low, high), "log": log, "of_time_steps": of_time_steps}
    return dataclasses.field(default=default, metadata=meta)


def part_names(kind: str) -> list[str]:
    """Names of all parts that answer one question, those of plug-ins among them."""
    load(RECIPES)
    return sorted(_REGISTRY.get(kind, {}))


def part_type(kind: str, name: str) -> type[Part]:
    """Class of a part.

    Raises:
        RecipeError: there is none of this kind and name.
    """
    return _find(kind, name)


def _find(kind: str, name: Any) -> type[Part]:
    known = _REGISTRY.setdefault(kind, {})
    if not isinstance(name, str) or name not in known:
        load(RECIPES)
    if not isinstance(name, str) or name not in known:
        raise RecipeError(f"unknown {kind} '{name}'; {nearest(str(name), known)}")
    return known[name]


def build_part(kind: str, spec: str | Mapping[str, Any], base: Part | None = None) -> Part:
    """Part from its name, or from a mapping of `name` and parameters.

    A mapping without `name` changes parameters of `base`.

    Raises:
        RecipeError: unknown part, unknown parameter, or a value the part refuses.
    """
    if not isinstance(spec, str | Mapping):
        raise RecipeError(f"{kind} must be a name or a mapping of parameters, got {reprlib.repr(spec)}")
    values = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = values.pop("name", base.name if base else None)
    cls = _find(kind, name)
    fields = {field.name for field in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            raise RecipeError(f"{kind} '{name}' has no parameter '{key}'; {nearest(key, fields)}")
    _check_types(f"{kind} '{name}'", cls, values)
    if base is not None and type(base) is cls:
        values = {**{field: getattr(base, field) for field in fields}, **values}
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{kind} '{name}': {error}") from error


_NUMBERS: dict[Any, tuple[type, str]] = {
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    bool: (bool, "true or false"),
}


def _check_types(part: str, cls: type[Part], values: Mapping[str, Any]) -> None:
    """Refuse a value of another type than its field: half a spike would run without an error."""
    hints = get_type_hints(cls)
    for key, value in values.items():
        expected, words = _NUMBERS.get(hints[key], (object, ""))
        is_confused = isinstance(value, bool) and expected is not object and expected is not bool
        if is_confused or not isinstance(value, expected):
            raise RecipeError(f"{part}: {key} must be {words}, got {value!r}")


def check(condition: bool, message: Callable[[], str] | str) -> None:
    """Raise ValueError with `message` unless `condition` holds."""
    if not condition:
        raise ValueError(message if isinstance(message, str) else message())
