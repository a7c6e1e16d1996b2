"""What a converted network must know of its conversion method: how it runs, not how it was fitted."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

from conversion.errors import RecipeError
from conversion.initial import Initial, Zero
from conversion.neurons import IntegrateAndFire, Neuron
from conversion.neurons.quantiser import Quantiser
from conversion.pooling import Gate, Pooling


@dataclass(frozen=True)
class Method:
    """The choices of a recipe that stay in the network while it runs.

    `conversion.recipes.Recipe` adds the choices that fit it.

    Attributes:
        name: of the preset.
        summary: one sentence.
        paper: where it comes from.
        neuron: what a neuron does with current and membrane, or the rounding of a quantised ANN.
        initial: the membrane it starts from.
        pooling: what becomes of max pooling.
        label: shown on the leaderboard; the name unless parameters were overridden.
    """

    name: str
    summary: str
    paper: str
    _: KW_ONLY
    neuron: Neuron | Quantiser = IntegrateAndFire()
    initial: Initial = Zero()
    pooling: Pooling = Gate()
    label: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.name)

    @property
    def needs_time_steps(self) -> bool:
        """True where T must be known: the network is fitted again for every t it is read out at."""
        return self.initial.needs_time_steps

    @property
    def runs_anew(self) -> bool:
        """True where every read-out is a run of its own, from the first step on."""
        return self.needs_time_steps or (not isinstance(self.neuron, Quantiser) and self.neuron.whole_window)

    @property
    def most_time_steps(self) -> int | None:
        """Largest T that its neurons can run; None: any."""
        return None if isinstance(self.neuron, Quantiser) else self.neuron.most_time_steps

    def checked(self, time_steps: list[int]) -> list[int]:
        """Time steps that this method can run, as they are.

        Raises:
            RecipeError: one is larger than its neurons can run.
        """
        most = self.most_time_steps
        if most is not None and max(time_steps) > most:
            raise RecipeError(
                f"recipe '{self.label}': neuron '{self.neuron.name}' runs {most} time steps at most, got "
                f"{max(time_steps)}"
            )
        return time_steps

    def parts(self) -> dict[str, Any]:
        """Every resolved choice with its parameters, as plain values."""
        return {kind: getattr(self, kind).as_dict() for kind in ("neuron", "initial", "pooling")}
