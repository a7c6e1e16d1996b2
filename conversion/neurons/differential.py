"""Neurons that send changes of the value that they sent before, with a threshold for every power of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State
from conversion.parts import check, register, searched
from conversion.signals.coding import DIFFERENTIAL, Coding

EXPONENTS = {  # of floats, with the integers that have their bits
    torch.float32: (torch.int32, 0x7F800000),
    torch.float64: (torch.int64, 0x7FF0000000000000),
}
ROUNDING = 1e-4  # of a level: sums of 1 / t miss whole numbers by so little


@dataclass(frozen=True)
class _Differential(Neuron):
    """Base: everything but how far below zero the output may go."""

    bounded: ClassVar[bool] = False  # changes add up to any estimate
    written_over: ClassVar[tuple[str, ...]] = ("v", "input", "output")
    levels: int = searched(4, 1, 8)  # number of levels
    share: float = 0.75  # of a level that makes it fire

    def __post_init__(self) -> None:
        check(1 <= self.levels <= 16, f"levels must be in [1, 16], got {self.levels}")
        check(0.5 <= self.share <= 1, f"share must be in [0.5, 1], got {self.share}")

    @property
    def coding(self) -> Coding:
        """Changes, the later the smaller."""
        return DIFFERENTIAL

    @property
    def alphabet(self) -> Alphabet:
        """Powers of two with a sign."""
        return "graded" if self.levels > 1 else "signed"

    @property
    def max_per_step(self) -> int:
        """The largest level, 2^(n - 1)."""
        return 1 << (self.levels - 1)

    def start(self, membrane: Tensor) -> State:
        """Membrane v, estimates of input and output, input at rest, steps done."""
        zero = torch.zeros_like(membrane)
        step = torch.zeros((), dtype=membrane.dtype, device=membrane.device)
        return {"v": membrane, "input": zero, "output": zero, "rest": zero, "step": step}

    def capped(self, state: State, most: Tensor) -> State:
        """The same with an upper bound of the output."""
        return state | {"most": most}

    def at_rest(self, current: Tensor, state: State) -> State:
        """c, and E = c."""
        return state | {"rest": current, "input": current}

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """One step as above."""
        step, received, sent = state["step"] + 1, state["input"], state["output"]
        change = current - state["rest"]
        v = state["v"] + change + received - sent
        room = step * (state["most"] - sent) if "most" in state else None
        spikes = self._fire(v, self._below(step * sent), room)
        following = {"input": received + change / step, "output": sent + spikes / step}
        return spikes, state | following | {"v": v - spikes, "step": step}

    def step_into(self, current: Tensor, state: State, spikes: Tensor) -> None:
        """The step, in place; floats of 16 bits round in between, so they take it as it is."""
        if spikes.dtype not in EXPONENTS:
            sent, after = self.step(current, state)
            spikes.copy_(sent)
            state.update(after)
            return
        v, received, sent = state["v"], state["input"], state["output"]
        state["step"] = step = state["step"] + 1
        change = torch.sub(current, state["rest"], out=spikes)
        v += change
        v += received
        v -= sent
        received.addcdiv_(change, step)
        reached = torch.abs(v, out=spikes).div_(self.share)
        most = self._below(step * sent)
        if most is not None:
            most += ROUNDING
            reached = torch.where(v < 0, torch.minimum(reached, most, out=most), reached)
        if "most" in state:
            room = (state["most"] - sent).mul_(step).add_(ROUNDING)
            reached = torch.where(v > 0, torch.minimum(reached, room, out=room), reached)
        torch.copysign(self._level(reached), v, out=spikes)
        sent.addcdiv_(spikes, step)
        v -= spikes

    def _level(self, reached: Tensor) -> Tensor:
        """The largest of the levels 0, 1, 2, 4, ... that is reached; what is given is written over."""
        whole, mask = EXPONENTS[reached.dtype]
        reached.relu_().view(whole).bitwise_and_(mask)  # leaves the power of two
        return torch.threshold_(reached.clamp_(max=self.max_per_step), 0.75, 0.0)

    def _below(self, sent: Tensor) -> Tensor | None:
        """Largest level that may be sent with a negative sign, from what was sent so far; None: any."""
        raise NotImplementedError

    def _fire(self, v: Tensor, most: Tensor | None, room: Tensor | None) -> Tensor:
        """The largest level that the membrane has reached; below 0, of those up to `most`, above, `room`."""
        reached = v.abs() / self.share
        if most is not None:
            reached = torch.where(v < 0, torch.minimum(reached, most + ROUNDING), reached)
        if room is not None:
            reached = torch.where(v > 0, torch.minimum(reached, room + ROUNDING), reached)
        size = torch.zeros_like(v)
        for level in range(self.levels):
            size = torch.where(reached >= 2**level, 2.0**level, size)
        return size * v.sign()

    def events(self, spikes: Tensor) -> Tensor:
        """One event, whichever level it stands for."""
        return (spikes != 0).to(spikes.dtype)


@register
@dataclass(frozen=True)
class DifferentialMultiThreshold(_Differential):
    """Multi-threshold neuron of differential graded coding: silent where the receiver is right.

    A spike s in step t changes the receiver's estimate of this neuron's activation by s / t (see
    `conversion.signals.coding`). The neuron keeps the estimates of its own input and output, E and O,
    and with c the input at rest, in step t:

        v += (x - c) + E - O;  fire s;  v -= s;  E += (x - c) / t;  O += s / t

    so that v - v0 = t (E - O) after every step: the neuron is an integrate-and-fire neuron for what
    the estimates stand for. It starts with E = c and O = 0.

    Levels are 1, 2, 4, ..., 2^(n - 1) smallest levels. The largest level k with v >= share k is sent;
    or -k for the largest k with v <= -share k that leaves the output non-negative, t O >= k. The
    threshold of the layer is the smallest level.

    Where the activation has an upper bound, a positive level is sent only as far as the output stays
    below it: of those up to t (bound - O).

    Parameters:
        levels: n, number of levels. With one level, share 1 and membranes that start half full give
            the variant for plain signed spikes.
        share: of a level that the membrane must reach for it to be sent. 3/4 sends the nearest power
            of two.

    Source: Huang et al. 2025 (ICML), arXiv 2503.00301, and the authors' code. The memory M of the
    code, which gains O before a spike and s after it, is t O.
    """

    name: ClassVar[str] = "differential-multi-threshold"

    @property
    def both_signs(self) -> Neuron:
        """The same without a lower bound of the output."""
        return DifferentialBothSigns(self.levels, self.share)

    def _below(self, sent: Tensor) -> Tensor | None:
        """As much as was sent."""
        return sent


@register
@dataclass(frozen=True)
class DifferentialBothSigns(_Differential):
    """`DifferentialMultiThreshold` for values of both signs: its output may fall below zero.

    The largest level k with |v| >= share k is sent, with the sign of v.

    Parameters:
        levels, share: as there.

    Source: Huang et al. 2025 (ICML), arXiv 2503.00301.
    """

    name: ClassVar[str] = "differential-both-signs"
    rectifies: ClassVar[bool] = False
    leaky: ClassVar[bool] = True

    @property
    def least_per_step(self) -> int:
        """The largest level, with a sign."""
        return -self.max_per_step

    def _below(self, sent: Tensor) -> Tensor | None:
        """No bound."""
        return None
