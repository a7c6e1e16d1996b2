"""The neurons of one layer as the compiled kernels keep them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from conversion.neurons import State
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
    """

    firing: Firing
    states: list[Tensor]
    done: int = 0

    @classmethod
    def of(cls, firing: Firing, state: State, layout: Callable[[str, Tensor], Tensor]) -> Population:
        """Neurons in a state of `Neuron.start`; `layout` gives each entry as the kernel wants it."""
        done = int(state["step"]) if "step" in state else 0
        return cls(firing, [layout(name, state[name]) for name in firing.states], done)

    def enter(self, passed: structures.Neurons, steps: int) -> None:
        """Describe these neurons to a kernel that will run `steps` steps."""
        firing = self.firing
        passed.kind, passed.done, passed.variant = firing.kind, self.done, firing.variant
        passed.most, passed.back, passed.bound = firing.most, firing.back, firing.bound
        passed.counted = firing.counted
        passed.state[: len(self.states)] = [state.data_ptr() for state in self.states]
        self.done += steps
