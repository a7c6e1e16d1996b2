"""The neurons of one layer as the compiled kernels keep them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.neurons import Neuron, State, TimedBias
from conversion.signals.coding import RATE, Coding
from conversion.simulation.compiled.native import structures
from conversion.simulation.fused.firing import Firing


@dataclass
class Population:
    """The neurons of one layer, while they run.

    Attributes:
        firing: what they do.
        states: float32, one tensor for each of `firing.states`, in the layout of the kernel, contiguous;
            updated in place.
        done: time steps so far.
        bias: in thresholds, [steps that have one, C]: of the steps that come; None where there is none.
        coding: of what arrives, where its meaning counts: with a function, or where it is to be decoded.
        answer: what was said last, where `firing.given`, like a state.
    """

    firing: Firing
    states: list[Tensor]
    done: int = 0
    bias: Tensor | None = None
    coding: Coding = RATE
    answer: Tensor | None = None
    _weights: Tensor | None = None  # of the steps that run

    @classmethod
    def of(
        cls,
        firing: Firing,
        state: State,
        layout: Callable[[str, Tensor], Tensor],
        neuron: Neuron | None = None,
        coding: Coding = RATE,
    ) -> Population:
        """Neurons in a state of `Neuron.start`.

        Args:
            firing: what they do.
            state: of all of them.
            layout: gives each entry as the kernel wants it.
            neuron: what they are, where it may have a bias for each step.
            coding: of what arrives.
        """
        done = int(state["step"]) if "step" in state else 0
        bias = None
        if isinstance(neuron, TimedBias) and neuron.bias:
            bias = torch.tensor(neuron.bias)[int(state["now"]) :]
        states = [layout(name, state[name]) for name in firing.states]
        answer = None
        if firing.given:  # where changes are sent, the function of what arrived at rest
            answer = layout("answer", state.get("rest", torch.zeros_like(state["v"])))
        return cls(firing, states, done, bias, coding, answer)

    def next_bias(self, steps: int) -> Tensor | None:
        """Bias of the next steps, [T, C] or [T, 1]; None: they have none. Each step is asked for once."""
        if self.bias is None:
            return None
        now, self.bias = self.bias[:steps], self.bias[steps:]
        return torch.cat([now, now.new_zeros(steps - len(now), now.shape[1])])

    def enter(self, passed: structures.Neurons, steps: int) -> None:
        """Describe these neurons to a kernel that will run `steps` steps."""
        firing = self.firing
        passed.kind, passed.done, passed.variant = firing.kind, self.done, firing.variant
        passed.most, passed.back, passed.bound = firing.most, firing.back, firing.bound
        passed.counted = firing.counted
        passed.state[: len(self.states)] = [state.data_ptr() for state in self.states]
        if self.answer is not None:
            passed.answer = self.answer.data_ptr()
        weights = self.coding.weights(self.done, steps)
        if weights is not None:
            self._weights = weights.float()
            passed.weights = self._weights.data_ptr()
        self.done += steps
