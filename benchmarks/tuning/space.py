"""The parameters of one recipe as a search space."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import optuna

from benchmarks.errors import TuningError
from conversion import Recipe, RecipeError
from conversion.parts import build_part, part_names
from conversion.recipes import KINDS
from conversion.search import Choices, NumberRange, Range, declared_ranges, search_ranges
from spikemark_plugins.names import did_you_mean

Values = dict[str, Any]  # parameter, e.g. "scale.p" -> value
Search = Mapping[str, Sequence[Any] | None]


class Refused(Exception):
    """These values make no recipe that may be tried; says why."""


class Space(Protocol):
    """What a study searches."""

    @property
    def first(self) -> list[Values]:
        """What is tried first, in this order."""
        ...

    @property
    def conditional(self) -> bool:
        """Whether some parameters exist only for some values of others."""
        ...

    def suggest(self, trial: optuna.Trial) -> Recipe:
        """Let a trial choose every parameter.

        Raises:
            Refused: what it chose makes no recipe that may be tried.
        """
        ...


class RecipeSpace:
    """All searched parameters of the parts that a recipe has.

    Args:
        recipe: where the search starts; its parts stay, their parameters change.
        time_steps: T of the read-out.
        search: what to search and in which ranges; None for everything that the parts declare.

    Raises:
        TuningError: `search` names something that no part has, or gives a range that does not fit.
    """

    conditional = False

    def __init__(self, recipe: Recipe, time_steps: int, search: Search | None = None) -> None:
        check_names(search)
        self._recipe = recipe
        self.ranges: dict[str, Range] = {}
        for kind in KINDS:
            part = getattr(recipe, kind)
            for name, found in search_ranges(part, time_steps).items():
                parameter = f"{kind}.{name}"
                if search is None or search.get(parameter, ()) is None:
                    self.ranges[parameter] = found
                elif given := search.get(parameter):
                    narrowed = narrow(parameter, found, given)
                    self.ranges[parameter] = narrowed.including(getattr(part, name))
        for parameter in [name for name, found in self.ranges.items() if size(found) == 1]:
            del self.ranges[parameter]

    @property
    def first(self) -> list[Values]:
        """The recipe's own values."""
        return [{name: _value_at(self._recipe, name) for name in self.ranges}]

    def suggest(self, trial: optuna.Trial) -> Recipe:
        """The recipe with the parameters that the trial chose."""
        return self.recipe({name: choose(trial, name, found) for name, found in self.ranges.items()})

    def recipe(self, values: Values) -> Recipe:
        """The recipe with these parameters.

        Raises:
            Refused: a part refuses its parameters.
        """
        changed: dict[str, Any] = {}
        for parameter, value in values.items():
            kind, name = parameter.split(".")
            changed.setdefault(kind, {})[name] = value
        try:
            parts: dict[str, Any] = {
                kind: build_part(kind, values, getattr(self._recipe, kind))
                for kind, values in changed.items()
            }
            return dataclasses.replace(self._recipe, **parts)
        except (RecipeError, ValueError) as error:
            raise Refused(one_line(error)) from error


def choose(trial: optuna.Trial, name: str, found: Range) -> Any:
    """Let a trial choose one value of a range."""
    if isinstance(found, Choices):
        return trial.suggest_categorical(name, list(found.values))
    if found.integer:
        return trial.suggest_int(name, int(found.low), int(found.high), log=found.log and found.low >= 1)
    return trial.suggest_float(name, found.low, found.high, log=found.log and found.low > 0)


def narrow(parameter: str, declared: Range, given: Sequence[Any]) -> Range:
    """The range that a matrix gives for a parameter, in place of the declared one.

    Raises:
        TuningError: it does not fit the parameter; names it.
    """
    if isinstance(declared, Choices):
        if unknown := [value for value in given if value not in declared.values]:
            valid = ", ".join(map(str, declared.values))
            raise TuningError(f"search '{parameter}': {unknown[0]!r} is no choice; valid: {valid}")
        return Choices(tuple(given))
    numbers = [v for v in given if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(given) != 2 or len(numbers) != 2 or not numbers[0] <= numbers[1]:
        raise TuningError(f"search '{parameter}': a range is [low, high], got {list(given)}")
    if declared.integer and any(v != int(v) for v in numbers):
        raise TuningError(f"search '{parameter}': both ends must be whole numbers, got {list(given)}")
    return NumberRange(numbers[0], numbers[1], declared.integer, declared.log)


def size(found: Range) -> float:
    """How many values a range has; infinite for real numbers."""
    if isinstance(found, Choices):
        return len(found.values)
    if found.low == found.high:
        return 1
    return found.high - found.low + 1 if found.integer else float("inf")


def check_names(search: Search | None, kinds: Sequence[str] = ()) -> None:
    """Refuse a name that no part has.

    Args:
        search: names such as "scale.p" as keys.
        kinds: names that are valid beside them.
    """
    valid = {*all_parameters(), *kinds}
    for name in search or ():
        if name not in valid:
            raise TuningError(f"search: nothing is called '{name}'{did_you_mean(name, sorted(valid))}")


def all_parameters() -> set[str]:
    """Names of all searched parameters of all parts, such as "scale.p"."""
    return {
        f"{kind}.{name}"
        for kind in KINDS
        for part in part_names(kind)
        for name in declared_ranges(kind, part, 1)
    }


def _value_at(recipe: Recipe, parameter: str) -> Any:
    kind, name = parameter.split(".")
    return getattr(getattr(recipe, kind), name)


def one_line(error: Exception) -> str:
    """The message of an error without line breaks."""
    return re.sub(r"\s+", " ", str(error)).strip()
