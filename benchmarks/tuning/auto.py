"""The choices of a recipe themselves as a search space, under a constraint that the user states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import optuna

from benchmarks.errors import TuningError
from benchmarks.tuning.space import Refused, Search, Values, check_names, choose, narrow, one_line, size
from conversion import PreparedNetwork, Recipe, RecipeError, recipe_from
from conversion.graph.operations import Kind
from conversion.neurons import Neuron
from conversion.parts import build_part, part_names, part_type
from conversion.recipes import KINDS
from conversion.search import Choices, Range, declared_ranges
from spikemark_plugins.names import did_you_mean

SEARCHED = ("scale", "neuron", "initial", "correction", "pooling")


@dataclass(frozen=True)
class Constraint:
    """What a recipe may ask of the hardware; None: anything."""

    alphabets: tuple[str, ...] = ()  # what spikes may be; binary spikes always may
    max_per_step: int | None = None  # most spikes of a neuron in one step
    t_total: int | None = None  # every step that runs, delays and phases before the read-out among them
    energy: float | None = None  # operations model, relative to the ANN

    def __str__(self) -> str:
        parts = ["/".join(self.alphabets)] if self.alphabets else []
        parts += [f"max {self.max_per_step} a step"] if self.max_per_step is not None else []
        parts += [f"t_total {self.t_total}"] if self.t_total is not None else []
        parts += [f"energy {self.energy:g}"] if self.energy is not None else []
        return ", ".join(parts) or "no constraint"

    def check(self, recipe: Recipe) -> None:
        """Refuse a recipe whose spikes are not allowed, before anything runs.

        Raises:
            Refused: names what is not allowed.
        """
        neuron = recipe.neuron
        allowed = {"binary", *self.alphabets}
        if self.alphabets and neuron.alphabet not in allowed:
            raise Refused(f"neuron '{neuron.name}' sends {neuron.alphabet} spikes")
        if allowed == {"binary"} and self.alphabets and recipe.pooling.graded:
            raise Refused(f"pooling '{recipe.pooling.name}' sends sums of spikes")
        if self.max_per_step is not None and neuron.max_per_step > self.max_per_step:
            raise Refused(f"neuron '{neuron.name}' sends up to {neuron.max_per_step} spikes a step")


class AutoSpace:
    """Every combination of scale, neuron, initial membrane, correction and pooling that is allowed.

    A parameter exists only where its part is chosen. What the parts refuse, what does not fit the
    network and what the constraint forbids is never proposed.

    Args:
        prepared: network to convert; pooling is searched only if it has any.
        constraint: what is allowed.
        most_steps: every step that may run.
        search: part names of a kind, e.g. {"correction": ["none"]}, and ranges of parameters, e.g.
            {"neuron.gamma": [2, 8]}; everything else as declared.
        first: recipes that are tried first, where the space holds them and the constraint allows them.

    Raises:
        TuningError: `search` names something unknown.
    """

    conditional = True

    def __init__(
        self,
        prepared: PreparedNetwork,
        constraint: Constraint,
        most_steps: int,
        search: Search | None = None,
        first: Sequence[Recipe] = (),
    ) -> None:
        check_names(search, KINDS)
        self._prepared = prepared
        self._constraint = constraint
        self._most_steps = most_steps
        self._base = recipe_from("custom")
        pools = any(role.kind is Kind.POOLING for role in prepared.roles.values())
        self._kinds = [kind for kind in SEARCHED if kind != "pooling" or pools]
        self._parts = {kind: _parts_of(kind, search or {}) for kind in self._kinds}
        self._ranges = {
            (kind, name): _ranges_of(kind, name, most_steps, search or {})
            for kind, names in self._parts.items()
            for name in names
        }
        known = [values for recipe in first if (values := self._values_of(recipe)) is not None]
        self.first: list[Values] = [v for i, v in enumerate(known) if v not in known[:i]]

    def suggest(self, trial: optuna.Trial) -> Recipe:
        """A recipe of the parts and parameters that the trial chose."""
        chosen: dict[str, Any] = {}
        for kind, names in self._parts.items():
            name = trial.suggest_categorical(kind, names) if len(names) > 1 else names[0]
            values = {
                parameter: choose(trial, f"{kind}.{name}.{parameter}", found)
                for parameter, found in self._ranges[kind, name].items()
            }
            chosen[kind] = {"name": name, **values}
        try:
            parts: dict[str, Any] = {kind: build_part(kind, choice) for kind, choice in chosen.items()}
        except RecipeError as error:
            raise Refused(one_line(error)) from error
        recipe = replace(self._base, **parts)
        self.time_steps(recipe)
        return recipe

    def time_steps(self, recipe: Recipe) -> int:
        """The largest t whose read-out needs no more steps in total than allowed.

        Raises:
            Refused: the recipe is not allowed, does not fit the network, or needs more steps at t = 1.
        """
        self._constraint.check(recipe)
        try:
            plan = self._prepared.plan(recipe)
        except RecipeError as error:
            raise Refused(one_line(error)) from error
        for t in range(min(self._most_steps, recipe.most_time_steps or self._most_steps), 0, -1):
            if plan.steps_run(t) <= self._most_steps:
                return t
        raise Refused(f"{plan.steps_run(1)} time steps in total at t = 1, more than {self._most_steps}")

    def _values_of(self, recipe: Recipe) -> Values | None:
        """A recipe as parameters of this space; None where it is not in it."""
        values: Values = {}
        for kind in KINDS:
            part = getattr(recipe, kind)
            if kind not in self._parts:
                if part != getattr(self._base, kind) and kind != "pooling":
                    return None
                continue
            if part.name not in self._parts[kind]:
                return None
            if len(self._parts[kind]) > 1:
                values[kind] = part.name
            ranges = self._ranges[kind, part.name]
            for parameter, value in asdict(part).items():
                if parameter in ranges:
                    if value not in ranges[parameter]:
                        return None
                    values[f"{kind}.{part.name}.{parameter}"] = value
                elif value != _default(kind, part.name, parameter):
                    return None
        try:
            self.time_steps(recipe)
        except Refused:
            return None
        return values


def _parts_of(kind: str, search: Search) -> list[str]:
    """Names of the parts of a kind that may be chosen."""
    known = [name for name in part_names(kind) if kind != "neuron" or _spikes(name)]
    wanted = search.get(kind)
    if wanted is None:
        return known
    for name in wanted:
        if name not in known:
            raise TuningError(f"search '{kind}': unknown {kind} '{name}'{did_you_mean(name, sorted(known))}")
    return [name for name in known if name in wanted]


def _ranges_of(kind: str, name: str, time_steps: int, search: Search) -> dict[str, Range]:
    found: dict[str, Range] = {}
    for parameter, declared in declared_ranges(kind, name, time_steps).items():
        wanted = search.get(f"{kind}.{parameter}")
        if wanted is not None:
            found[parameter] = narrow(f"{kind}.{parameter}", declared, wanted)
        else:
            default = _default(kind, name, parameter)
            found[parameter] = declared if isinstance(declared, Choices) else declared.including(default)
    return {p: values for p, values in found.items() if size(values) > 1 or f"{kind}.{p}" in search}


def _spikes(neuron: str) -> bool:
    return issubclass(part_type("neuron", neuron), Neuron)


def _default(kind: str, name: str, parameter: str) -> Any:
    by_name = {field.name: field for field in fields(part_type(kind, name))}
    return by_name[parameter].default
