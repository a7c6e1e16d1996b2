"""A neuron with a constant current of its own in every step of a window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State, by_channel
from conversion.neurons.integrate_and_fire import IntegrateAndFire
from conversion.parts import build_part, check, register


@register
@dataclass(frozen=True)
class TimedBias(Neuron):
    """Another neuron that receives a bias b[t, c] more in step t, one for each channel c.

    After the last step of the table there is no bias any more. Correction "temporal-bias" finds the table.

    Parameters:
        inner: the neuron that fires; it fires step by step.
        bias: in thresholds, by step and channel; one number a step serves all channels.

    Source: Wu et al. 2024 (ECCV), arXiv 2403.18388 (FTBC).
    """

    name: ClassVar[str] = "timed-bias"
    inner: Neuron = IntegrateAndFire()
    bias: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.inner, Mapping):  # as YAML and JSON have it
            object.__setattr__(self, "inner", build_part("neuron", self.inner))
        object.__setattr__(self, "bias", tuple(tuple(step) for step in self.bias))
        check(
            self.inner.judged_by_membrane,
            f"inner must be a neuron that fires step by step, as integrate-and-fire, burst and signed do, "
            f"got '{self.inner.name}'",
        )
        widths = {len(step) for step in self.bias}
        check(len(widths) <= 1 and 0 not in widths, "bias must have the same channels in every step")

    def as_dict(self) -> dict[str, Any]:
        """Name and parameters as plain values."""
        return {"name": self.name, "inner": self.inner.as_dict(), "bias": self.bias}

    @property
    def alphabet(self) -> Alphabet:
        """That of the neuron that fires."""
        return self.inner.alphabet

    @property
    def max_per_step(self) -> int:
        """That of the neuron that fires."""
        return self.inner.max_per_step

    @property
    def judged_by_membrane(self) -> bool:
        """What is left is charge that has not been sent."""
        return True

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """That of the neuron that fires, with all of the bias that comes in T steps."""
        if not self.bias:
            return self.inner.constant(charge, initial, time_steps)
        total = tuple(sum(step) for step in zip(*self.bias[:time_steps], strict=True))
        more = by_channel(total, charge.ndim, charge.dtype, charge.device)
        return self.inner.constant(charge + more, initial, time_steps)

    def start(self, membrane: Tensor) -> State:
        """State of the neuron that fires, and `now`: steps done."""
        now = torch.zeros((), dtype=membrane.dtype, device=membrane.device)
        return {**self.inner.start(membrane), "now": now}

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """One step."""
        spikes, state = self.scan(current[None], 1, state)
        return spikes[0], state

    def scan(self, current: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Add the bias of these steps, then fire; see `Neuron.scan`."""
        spikes, following = self.inner.scan(self._driven(current, state["now"], steps), steps, state)
        return spikes, {**following, "now": state["now"] + steps}

    def _driven(self, current: Tensor, now: Tensor, steps: int) -> Tensor:
        """Currents [T, B, C, ...] with the bias of the steps after the first `now`."""
        if not self.bias:
            return current
        nothing = (0.0,) * len(self.bias[0])
        table = current.new_tensor((*self.bias, nothing))
        step = (now.long() + torch.arange(steps, device=current.device)).clamp(max=len(self.bias))
        return current + table[step].view(steps, 1, -1, *[1] * (current.ndim - 3))

    def events(self, spikes: Tensor) -> Tensor:
        """Those of the neuron that fires."""
        return self.inner.events(spikes)
