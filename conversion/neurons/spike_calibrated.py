"""Burst neurons that take spikes back: the neurons of Spike Calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State, fire
from conversion.parts import check, register, searched


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
    gamma: int = searched(5, 1, 40)  # most spikes in one step
    # Silent steps beyond the mean interval before taking back. The authors use T/4 to T/2; T switches it off.
    allowance: int = searched(32, 1 / 16, 1, log=True, of_time_steps=True)
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

    @property
    def judged_by_membrane(self) -> bool:
        """What is left is charge that has not been sent."""
        return True

    def start(self, membrane: Tensor) -> State:
        """Membrane v, number of firing steps n, step of the last one, balance sent, present step."""
        zero = torch.zeros_like(membrane)
        step = torch.zeros((), dtype=membrane.dtype, device=membrane.device)
        return {"v": membrane, "n": zero, "last": zero, "balance": zero, "step": step}

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """Fire as a burst neuron, then take back one spike where the neuron has been silent for too long.

        Intervals between firing steps add up to the step of the last one, so their mean is last / n. The test
        whether silence is longer than allowance + last / n is multiplied by n, to avoid a division.
        """
        v = state["v"] + current
        spikes = fire(v, self.gamma)
        v = v - spikes
        n, last, step = state["n"], state["last"], state["step"]
        fired = spikes > 0
        n = n + fired
        last = torch.where(fired, step, last)
        too_long = (step - last - self.allowance) * n.clamp(min=1) > last
        if self.variant == "code":
            spikes = spikes - too_long.to(spikes.dtype)
            balance = state["balance"] + spikes
            spikes = torch.where(balance <= -1, torch.zeros_like(spikes), spikes)
        else:
            back = (too_long & (state["balance"] >= 1)).to(spikes.dtype)
            spikes = spikes - back
            balance = state["balance"] + spikes
            if self.variant == "cons":
                v = v + back
        following = {"v": v, "n": n, "last": last, "balance": balance, "step": step + 1}
        return spikes, following
