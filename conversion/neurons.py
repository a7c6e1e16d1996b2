"""What a neuron does with its input current and its membrane potential.

Every neuron works in units of its own threshold: the simulator divides the current by the threshold
before and multiplies the spikes by it after. A neuron is a pure step `(current, state) -> (spikes,
state)` on tensors [B, ...]; spikes are integers held as floats. Soft reset throughout: a spike
takes one threshold off the membrane, so no charge is lost and

    sum of currents = sum of spikes + change of the membrane potential          (conservation)

holds for every neuron that does not take spikes back for free (see `SpikeCalibrated`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from conversion.parts import Part, check, register, searched

State = dict[str, Tensor]
Alphabet = Literal["binary", "burst", "signed", "graded", "none"]


@dataclass(frozen=True)
class Neuron(Part):
    """Base of all neurons."""

    kind: ClassVar[str] = "neuron"

    @property
    def alphabet(self) -> Alphabet:
        """What one spike can be."""
        raise NotImplementedError

    @property
    def max_per_step(self) -> int:
        """Most spikes sent in one step."""
        return 1

    def start(self, membrane: Tensor) -> State:
        """State before the first step, from the initial membrane potential [B, ...] (in thresholds)."""
        return {"v": membrane}

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: input current [B, ...] to spikes [B, ...] and the next state."""
        raise NotImplementedError


def fire(v: Tensor, gamma: int) -> Tensor:
    """Spikes of a membrane potential in units of the threshold: clamp(floor(v), 0, gamma)."""
    return (v >= 1).to(v.dtype) if gamma == 1 else v.floor().clamp_(0, gamma)


@register
@dataclass(frozen=True)
class IntegrateAndFire(Neuron):
    """Integrate-and-fire neuron with soft reset; at most one spike a step.

    Source: Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682 (reset by subtraction).
    """

    name: ClassVar[str] = "integrate-and-fire"

    @property
    def alphabet(self) -> Alphabet:
        """One spike or none."""
        return "binary"

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """v += x; s = [v >= 1]; v -= s."""
        v = state["v"] + current
        spikes = fire(v, 1)
        return spikes, {"v": v - spikes}


@register
@dataclass(frozen=True)
class Burst(Neuron):
    """Burst neuron: up to `gamma` spikes a step, so charge left over is sent soon.

    Source: Li & Zeng 2022 (IJCAI), arXiv 2204.13271.
    """

    name: ClassVar[str] = "burst"
    gamma: int = searched(5, 2, 20)  # most spikes in one step

    def __post_init__(self) -> None:
        check(self.gamma >= 1, f"gamma must be at least 1, got {self.gamma}")

    @property
    def alphabet(self) -> Alphabet:
        """A burst of 0 to gamma spikes."""
        return "burst" if self.gamma > 1 else "binary"

    @property
    def max_per_step(self) -> int:
        """Gamma."""
        return self.gamma

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """v += x; s = clamp(floor(v), 0, gamma); v -= s."""
        v = state["v"] + current
        spikes = fire(v, self.gamma)
        return spikes, {"v": v - spikes}


@register
@dataclass(frozen=True)
class SpikeCalibrated(Neuron):
    """Burst neuron that takes spikes back when it has been silent for too long.

    A neuron whose activation is not positive may fire early, on the transient of its inputs. Such a
    neuron then stays silent for far longer than the mean interval between its spikes; after
    `allowance` further steps it sends a negative spike each step until its output is back at zero.

    Variants:
        fix: take back only what was sent (n >= 1 and a positive balance), without touching the
            membrane: the membrane keeps the charge of the wrong spike, and conservation is broken
            by one threshold a spike.
        cons: as fix, and credit the membrane with one threshold for each spike taken back, so that
            conservation holds.
        code: as in the authors' public code, where the balance keeps falling while nothing is left
            to take back, so that a neuron that starts late is muted.

    Source: Li, He, Dong, Kong, Zeng 2022, arXiv 2207.02702; the variants correct the public code.
    """

    name: ClassVar[str] = "spike-calibrated"
    gamma: int = searched(5, 1, 20)  # most spikes in one step
    allowance: int = searched(32, 4, 128)  # silent steps beyond the mean interval before taking back
    variant: Literal["fix", "cons", "code"] = "fix"

    def __post_init__(self) -> None:
        check(self.gamma >= 1, f"gamma must be at least 1, got {self.gamma}")
        check(self.allowance >= 0, f"allowance must not be negative, got {self.allowance}")
        check(
            self.variant in ("fix", "cons", "code"), f"variant must be fix, cons or code, got {self.variant}"
        )

    @property
    def alphabet(self) -> Alphabet:
        """Bursts and negative spikes."""
        return "signed"

    @property
    def max_per_step(self) -> int:
        """Gamma."""
        return self.gamma

    def start(self, membrane: Tensor) -> State:
        """Membrane v, number of firing steps n, step of the last one, mean interval, balance sent."""
        zero = torch.zeros_like(membrane)
        step = torch.zeros((), dtype=membrane.dtype, device=membrane.device)
        return {"v": membrane, "n": zero, "last": zero, "interval": zero, "balance": zero, "step": step}

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """Fire as a burst neuron, then update the habit and take back one spike where it is broken."""
        v = state["v"] + current
        spikes = fire(v, self.gamma)
        v = v - spikes
        n, last, interval, step = state["n"], state["last"], state["interval"], state["step"]
        fired = spikes > 0
        n = n + fired
        interval = torch.where(fired, ((step - last) + interval * (n - 1)) / n.clamp(min=1), interval)
        last = torch.where(fired, step, last)
        too_long = (step - last) > interval + self.allowance
        if self.variant == "code":
            spikes = spikes - too_long.to(spikes.dtype)
            balance = state["balance"] + spikes
            spikes = torch.where(balance <= -1, torch.zeros_like(spikes), spikes)
        else:
            back = (too_long & (n >= 1) & (state["balance"] >= 1)).to(spikes.dtype)
            spikes = spikes - back
            balance = state["balance"] + spikes
            if self.variant == "cons":
                v = v + back
        following = {"v": v, "n": n, "last": last, "interval": interval, "balance": balance, "step": step + 1}
        return spikes, following


def scan(neuron: Neuron, current: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
    """Push a chunk of time steps through a neuron.

    Args:
        neuron: what happens in one step.
        current: input currents in units of the threshold, [T, B, ...], or [1, B, ...] if constant.
        steps: T, the number of steps to run.
        state: state before the first step.

    Returns:
        Spikes [T, B, ...] and the state after the last step; `state` itself is left as it was.
    """
    spikes = torch.empty((steps, *current.shape[1:]), dtype=current.dtype, device=current.device)
    constant = current.shape[0] == 1
    for t in range(steps):
        spikes[t], state = neuron.step(current[0 if constant else t], state)
    return spikes, state
