"""Neurons whose spikes count less from step to step, so that few steps say a value finely."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State, by_channel
from conversion.parts import check, register, searched


@register
@dataclass(frozen=True)
class Shrinking(Neuron):
    """Spikes with a weight for each step; what was sent follows what has arrived, from the first step on.

    With E the sum of what has arrived and O the sum of what was sent, step t sends the number of spikes n
    that brings O nearest to max(E, 0):

        E += g_t x + b_t;  n = clip(round((max(E, 0) - O) / w_t), -gamma, gamma);  O += w_t n

    Early spikes are coarse and late ones fine. A layer does not wait for the layer before: early errors,
    of its own and of others, are corrected by the steps that are left. After every step that does not clip, O
    is within w_t / 2 of max(E, 0). Once E has settled, and where no weight is more than 2 gamma + 1 times the
    next, |O - max(E, 0)| is at most

        max(w_T / 2, |O - max(E, 0)| before - gamma (w_t + ... + w_T))

    after steps t, ..., T. In the first step there is nothing to take back. There n negative spikes stand
    for 2 n positive ones (the receiver shifts once more), so that it says up to 2 gamma w_1; O is then
    within w_1.

    Without negative spikes (`signed` false) a step with a negative weight takes back.

    The largest sum of T steps is gamma T where conversion chooses the weights: as much as equal weights can
    say. The initial membrane counts in the last weight, so that 1/2 rounds to the nearest.

    Parameters:
        gamma: most spikes of either sign in one step.
        signed: whether there are negative spikes.
        weights: w_t of each step, in thresholds; empty: all the same.
        gains: g_t, how often what arrives in each step counts; empty: once. T, 0, 0, ... for a layer that
            sees the image, whose first step says what all steps add up to.
        bias: b_t, in thresholds, by step and channel; one number a step serves all channels; empty: none.

    Correction "step-weights" finds weights, gains and bias.

    Source: this project, docs/spikemark.md. Weights of steps are those of few-spikes neurons (Stöckl and
    Maass 2021, arXiv 2002.00860), without waiting for a whole window.
    """

    name: ClassVar[str] = "shrinking"
    whole_window: ClassVar[bool] = True  # weights depend on T; it fires in every step all the same
    integral: ClassVar[bool] = False
    gamma: int = searched(4, 1, 8)  # most spikes of either sign in one step
    signed: bool = True
    weights: tuple[float, ...] = field(default=())
    gains: tuple[float, ...] = field(default=())
    bias: tuple[tuple[float, ...], ...] = field(default=())

    def __post_init__(self) -> None:
        for name in ("weights", "gains"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))  # YAML and JSON have lists
        object.__setattr__(self, "bias", tuple(tuple(map(float, step)) for step in self.bias))
        check(self.gamma >= 1, f"gamma must be at least 1, got {self.gamma}")
        check(0.0 not in self.weights, "weights must not be 0")
        check(not self.weights or self.weights[0] > 0, "the first weight must be positive")
        check(
            not self.signed or all(weight > 0 for weight in self.weights),
            "weights must be positive where spikes are signed",
        )
        for name in ("gains", "bias"):
            table = getattr(self, name)
            check(
                len(table) in (0, len(self.weights)), f"{name} must be as many as weights, got {len(table)}"
            )
        widths = {len(step) for step in self.bias}
        check(len(widths) <= 1 and 0 not in widths, "bias must have the same channels in every step")

    def as_dict(self) -> dict[str, Any]:
        """Name and parameters; tables as lists."""
        bias = [list(step) for step in self.bias]
        return super().as_dict() | {"weights": list(self.weights), "gains": list(self.gains), "bias": bias}

    @property
    def alphabet(self) -> Alphabet:
        """Counts, in a unit that depends on the step."""
        return "graded"

    @property
    def worth(self) -> str:
        """A power of two for each step."""
        twice = "; negative ones of the first step count twice, as positive ones" if self.signed else ""
        return f"depends on the step, by powers of two (a synapse shifts, then adds){twice}"

    @property
    def max_per_step(self) -> int:
        """Gamma: the largest mean of a window, and the most spikes of a step."""
        return self.gamma

    def weights_of(self, time_steps: int) -> tuple[float, ...]:
        """w_t of each step, in thresholds.

        Raises:
            ValueError: they are for another number of steps.
        """
        if not self.weights:
            return scaled((1.0,) * time_steps, self.signed)
        check(len(self.weights) == time_steps, f"fitted for {len(self.weights)} steps, got {time_steps}")
        return self.weights

    def levels_in(self, time_steps: int) -> int:
        """Last weights that the largest sum is."""
        if not time_steps:
            return 0
        return round(self.gamma * time_steps / abs(self.weights_of(time_steps)[-1]))

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """w_T clip(floor(charge / w_T + initial), 0, gamma T / w_T); nearly what is sent."""
        finest = abs(self.weights_of(time_steps)[-1])
        return (charge / finest + initial).floor().clamp(0, self.gamma * time_steps / finest) * finest

    def scan(self, current: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Spikes of one whole window, each times its weight; see `Neuron.scan`."""
        weights, gains = self.weights_of(steps), self.gains or (1.0,) * steps
        rounding = (state["v"] - 0.5) * abs(weights[-1])
        arrived, sent = torch.zeros_like(current[0]), torch.zeros_like(current[0])
        spikes = torch.empty((steps, *current.shape[1:]), dtype=current.dtype, device=current.device)
        for t, weight in enumerate(weights):
            if gains[t]:
                arrived = arrived + gains[t] * current[min(t, len(current) - 1)]
            if self.bias:
                arrived = arrived + by_channel(self.bias[t], current.ndim - 1, current.dtype, current.device)
            missing = ((arrived + rounding).clamp(min=0) - sent) / weight
            spikes[t] = nearest_count(missing, self.gamma, self.signed, first=t == 0) * weight
            sent = sent + spikes[t]
        return spikes, {"v": state["v"] * abs(weights[-1]) + arrived - sent}

    def events(self, spikes: Tensor) -> Tensor:
        """Spikes counted one by one, from one whole window [T, B, ...]."""
        weights = spikes.new_tensor(self.weights_of(len(spikes))).view(-1, *[1] * (spikes.ndim - 1))
        counts = (spikes / weights).round().abs()
        return torch.where(counts > self.gamma, counts / 2, counts)


def nearest_count(missing: Tensor, gamma: int, signed: bool, first: bool) -> Tensor:
    """Number of spikes that a step sends in effect, nearest to what is missing.

    Args:
        missing: in the weight of the step.
        gamma: most spikes of either sign.
        signed: whether there are negative spikes; in the `first` step each stands for two positive ones.
        first: nothing was sent before.
    """
    ones = (missing + 0.5).floor().clamp(-gamma if signed and not first else 0, gamma)
    if not (signed and first):
        return ones
    twos = 2 * (missing / 2 + 0.5).floor().clamp(0, gamma)
    return torch.where((twos - missing).abs() < (ones - missing).abs(), twos, ones)


def scaled(weights: tuple[float, ...], signed: bool) -> tuple[float, ...]:
    """These weights times what makes their largest sum, for one spike in each step, the number of steps."""
    reach = sum(weight for weight in weights if weight > 0) + (weights[0] if signed else 0.0)
    return tuple(weight * len(weights) / reach for weight in weights)
