"""The neurons of one layer as the compiled kernels keep them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.neurons import Neuron, State, TimedBias
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
    """

    firing: Firing
    states: list[Tensor]
    done: int = 0
    bias: Tensor | None = None

    @classmethod
    def of(
        cls,
        firing: Firing,
        state: State,
        layout: Callable[[str, Tensor], Tensor],
        neuron: Neuron | None = None,
    ) -> Population:
        """Neurons in a state of `Neuron.start`.

        Args:
            firing: what they do.
            state: of all of them.
            layout: gives each entry as the kernel wants it.
            neuron: what they are, where it may have a bias for each step.
        """
        done = int(state["step"]) if "step" in state else 0
        bias = None
        if isinstance(neuron, TimedBias) and neuron.bias:
            bias = torch.tensor(neuron.bias)[int(state["now"]) :]
        return cls(firing, [layout(name, state[name]) for name in firing.states], done, bias)

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
        self.done += steps
