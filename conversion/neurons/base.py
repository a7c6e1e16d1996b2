"""What every spiking neuron is: input currents and a state in, spikes and the next state out.

Every neuron works in units of its own threshold: the simulator divides the current by the threshold
before and multiplies the spikes by it after. A neuron is a pure step `(current, state) -> (spikes,
state)` on tensors [B, ...]; spikes are integers held as floats, unless the alphabet says otherwise.
Soft reset throughout: a spike takes what it sends off the membrane, so no charge is lost and

    sum of currents = sum of spikes + change of the membrane potential          (conservation)

holds for every rate-coded neuron that does not take spikes back for free (see `SpikeCalibrated`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor

from conversion.parts import Part
from conversion.signals.coding import RATE, Coding
from conversion.signals.memory import room_for

State = dict[str, Tensor]
# What one spike can be: 0 or 1; 0 to gamma; with a sign; the index of a level; a time-dependent power
# of two; any real number (which costs a multiplication at every synapse); none.
Alphabet = Literal["binary", "burst", "signed", "graded", "weighted", "real", "none"]


@dataclass(frozen=True)
class Neuron(Part):
    """Base of all neurons."""

    kind: ClassVar[str] = "neuron"
    whole_window: ClassVar[bool] = False  # fires only when all input has arrived: T must be known
    leaky: ClassVar[bool] = False  # can send the negative values of a leaky ReLU
    rectifies: ClassVar[bool] = True  # what it sends is never negative on average, as after a ReLU
    integral: ClassVar[bool] = True  # what it sends is a whole number of thresholds
    bounded: ClassVar[bool] = True  # sends `max_per_step` thresholds a step on average at most
    approximates: ClassVar[bool] = False  # does other functions by coefficients that are fitted to a layer
    most_time_steps: ClassVar[int | None] = None  # largest T that it can run; None: any
    written_over: ClassVar[tuple[str, ...]] = ()  # entries of its state that `step_into` writes over

    @property
    def coding(self) -> Coding:
        """How the receiver decodes its spikes."""
        return RATE

    @property
    def alphabet(self) -> Alphabet:
        """What one spike can be."""
        raise NotImplementedError

    @property
    def resolution(self) -> float:
        """How far a steady value may stay from what is sent, in thresholds, however many steps are run."""
        return 0.0

    @property
    def worth(self) -> str:
        """What a spike stands for, in words, where that is not always the same; "" where it is."""
        return ""

    @property
    def max_per_step(self) -> int:
        """Largest value sent in a step, in thresholds; of a whole window, the largest mean of one."""
        return 1

    @property
    def largest_spike(self) -> int:
        """Largest value of one step, in thresholds."""
        return self.max_per_step

    @property
    def is_integrate_and_fire(self) -> bool:
        """True for the plain integrate-and-fire neuron: soft reset, and one spike a step at most.

        Export writes no other neuron in NIR.
        """
        return False

    @property
    def judged_by_membrane(self) -> bool:
        """True where the charge left in the membrane says how many spikes are missing or too many.

        Initial potentials that are found by a presimulation need it. It holds for neurons that send whole
        spikes as soon as their membrane reaches the threshold.
        """
        return False

    @property
    def steady_per_step(self) -> float:
        """Largest steady input that is sent whole, in thresholds; of more, at most `max_per_step` is sent."""
        return self.max_per_step

    @property
    def least_per_step(self) -> int:
        """Least mean value that steady input can bring about, in thresholds; negative if leaky."""
        return 0

    def levels_in(self, time_steps: int) -> int:
        """Number of values above zero that `time_steps` steps can mean."""
        return self.max_per_step * time_steps

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """What is sent in all, in thresholds, in `time_steps` steps of a constant current.

        The closed form clip(floor(charge + initial), 0, gamma T), exact for soft reset at
        0 <= initial < 1; neurons that do something else have their own.

        Args:
            charge: the current times the number of steps, in thresholds.
            initial: membrane potential before the first step.
            time_steps: T.
        """
        return (charge + initial).floor().clamp(0, self.max_per_step * time_steps)

    @property
    def steps_per_t(self) -> int:
        """Time steps that one step stands for, where a step is sent as several binary ones."""
        return 1

    def delay(self, time_steps: int) -> int:
        """Steps that a layer of these neurons adds to the latency of a window of `time_steps`."""
        return 0

    def latency(self, time_steps: int, depth: int) -> int:
        """Steps from image to answer for a window of `time_steps`.

        Args:
            time_steps: T.
            depth: most layers of neurons on one path.
        """
        return time_steps * self.steps_per_t + depth * self.delay(time_steps)

    def interval(self, time_steps: int) -> int:
        """Steps from one answer to the next where each layer works on another image (pipelined)."""
        return time_steps * self.steps_per_t

    def with_slope(self, slope: float | tuple[float, ...]) -> Neuron:
        """The neuron for a ReLU with this negative slope, or one a channel, if it is `leaky`."""
        return self

    @property
    def both_signs(self) -> Neuron | None:
        """The neuron for a layer whose values have both signs; None where its spikes do not allow it."""
        return None if self.rectifies else self

    def of_layer(self, name: str) -> Neuron:
        """The neuron for the layer of this name; neurons that draw random numbers draw others in each."""
        return self

    def start(self, membrane: Tensor) -> State:
        """State before the first step, from the initial membrane potential [B, ...] (in thresholds)."""
        return {"v": membrane}

    def capped(self, state: State, most: Tensor) -> State:
        """A state of `start` for an activation that is at most `most` [B, ...] (in thresholds).

        Asked only of neurons that are not `bounded`; thresholds keep the others below it.
        """
        return state

    def at_rest(self, current: Tensor, state: State) -> State:
        """State after a step in which no layer sent anything; differential coding starts from it."""
        return state

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: input current [B, ...] to spikes [B, ...] and the next state."""
        raise NotImplementedError

    def scan(self, current: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Push a chunk of time steps through the neuron.

        Args:
            current: input currents in units of the threshold, [T, B, ...], or [1, B, ...] if constant.
            steps: T, the number of steps to run.
            state: state before the first step.

        Returns:
            Spikes [T, B, ...] and the state after the last step; `state` itself is left as it was.
        """
        spikes, constant = room_for(current, steps), current.shape[0] == 1
        if current.requires_grad:  # gradients do not flow into what is written over
            for t in range(steps):
                spikes[t], state = self.step(current[0 if constant else t], state)
            return spikes, state
        state = self.owned(state, current[0])
        for t in range(steps):
            state = self.advance(current[0 if constant else t], state, spikes[t])
        return spikes, state

    def owned(self, state: State, like: Tensor) -> State:
        """The same state in memory of its own, where `advance` writes over it.

        Args:
            state: of neurons.
            like: a current of one step, [B, ...].
        """
        if not _steps_into(type(self)):
            return state
        return state | {key: torch.empty_like(like).copy_(state[key]) for key in self.written_over}

    def advance(self, current: Tensor, state: State, spikes: Tensor) -> State:
        """One time step as `step` has it, with fewer passes over memory where the neuron knows how.

        Args:
            current: as in `step`; may be the memory of `spikes`, else it is left as it was.
            state: from `owned`, or from the step before.
            spikes: where they are written, [B, ...].

        Returns:
            The next state.
        """
        if _steps_into(type(self)):
            self.step_into(current, state, spikes)
            return state
        sent, state = self.step(current, state)
        spikes.copy_(sent)
        return state

    def step_into(self, current: Tensor, state: State, spikes: Tensor) -> None:
        """`step`, with spikes and the next state written into memory that is given; see `advance`."""
        raise NotImplementedError

    @property
    def needs_sum_alone(self) -> bool:
        """True where all that it sends in a window follows from the sum of its input, by `window`."""
        return False

    def window(self, total: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Spikes of a whole window from the sum of its currents.

        Args:
            total: sum of the currents of T steps, in thresholds, [B, ...]; float32 or float64.
            steps: T.
            state: before the window.

        Returns:
            Spikes [T, B, ...] and the state after the window.
        """
        raise NotImplementedError

    def sent_in_window(self, total: Tensor, steps: int, state: State) -> tuple[Tensor, Tensor]:
        """Sums over the window of what `window` sends, in thresholds, and of its events, [B, ...]."""
        spikes, _ = self.window(total, steps, state)
        return spikes.sum(0), self.events(spikes).sum(0)

    def events(self, spikes: Tensor) -> Tensor:
        """Spikes as energy counts them, from what was sent: a burst of n counts n, a negative spike 1."""
        return spikes.abs()


@lru_cache(maxsize=256)
def by_channel(values: tuple[float, ...], ndim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """One number for each channel as [1, C, 1, ...]."""
    return torch.tensor(values, dtype=dtype, device=device).view(1, -1, *[1] * (ndim - 2))


def _steps_into(kind: type) -> bool:
    """True where `step_into` does what `step` does: a class with a step of its own does not inherit it."""
    for cls in kind.__mro__:
        if "step_into" in vars(cls):
            return cls is not Neuron
        if "step" in vars(cls):
            return False
    return False


@cache
def _one(dtype: torch.dtype, device: torch.device) -> Tensor:
    """1, ready to be compared with."""
    with torch.inference_mode(False):
        return torch.ones((), dtype=dtype, device=device)


def burst_into(current: Tensor, state: State, spikes: Tensor, gamma: int) -> None:
    """`Neuron.step_into` of neurons with v += x;  s = clamp(floor(v), 0, gamma);  v -= s."""
    v = state["v"]
    v += current
    fire_into(v, gamma, spikes)
    v -= spikes


def fire_into(v: Tensor, gamma: int, spikes: Tensor) -> None:
    """Write what `fire` gives."""
    if gamma == 1:
        torch.ge(v, _one(v.dtype, v.device), out=spikes)
    else:
        torch.floor(v, out=spikes).clamp_(0, gamma)


def fire(v: Tensor, gamma: int) -> Tensor:
    """Spikes of a membrane potential in units of the threshold: clamp(floor(v), 0, gamma)."""
    return (v >= 1).to(v.dtype) if gamma == 1 else v.floor().clamp_(0, gamma)
