"""The one loop over the graph: chunks of time steps, one operation after the other.

A feed-forward spiking network has no delay between layers, so a whole chunk of time steps passes
through one operation before the next one starts. What does not change over time is computed once.
A backend brings a runner of layers; the walk brings it node after node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, fx

from conversion.functions.telescope import Telescope
from conversion.graph.operations import Kind
from conversion.neurons import Neuron, State
from conversion.plan.plan import Plan
from conversion.signals.memory import room_for
from conversion.signals.signals import Signal, Total, map_structure

# (neuron, current, steps, state) -> (spikes, state, factor), as `Initial.before`.
Before = Callable[[Neuron, Tensor, int, State], tuple[Tensor, State, Tensor | None]]


@dataclass
class WalkState:
    """How far a batch has come: what the walk and all runners of its layers share.

    Attributes:
        done: time steps since the read-out began.
        before: what neurons do in steps before the read-out; None in all others.
        constant: values that do not change over time.
        states: of neurons and pools.
        telescopes: states of functions, also of those before neurons.
        ran: which kernel ran each layer, by the layer's name.
    """

    done: int = 0
    before: Before | None = None
    constant: dict[fx.Node, Any] = field(default_factory=dict)
    states: dict[fx.Node, State] = field(default_factory=dict)
    telescopes: dict[fx.Node, Telescope] = field(default_factory=dict)
    ran: dict[str, str] = field(default_factory=dict)


class LayerRunner(Protocol):
    """Runs single operations over a chunk of time."""

    @property
    def absorbed(self) -> Set[fx.Node]:
        """Operations that run inside a later one."""
        ...

    @property
    def last_use(self) -> Mapping[fx.Node, list[fx.Node]]:
        """Operation -> values that no later operation reads."""
        ...

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> Any:
        """Value of a node over `steps` time steps, from the values of the nodes before it."""
        ...


class Walk:
    """One batch of images on its way through a spiking network.

    Args:
        plan: the converted network.
        runner: of its layers.
        progress: shared with the runner.
    """

    def __init__(self, plan: Plan, runner: LayerRunner, progress: WalkState) -> None:
        self._plan = plan
        self._runner = runner
        self._progress = progress
        self._coding = plan.neuron.coding

    @property
    def ran(self) -> Mapping[str, str]:
        """Which kernel ran each layer, by the layer's name."""
        return self._progress.ran

    def begin(self) -> Any:
        """Run the steps that come before the read-out, if the recipe has any.

        Returns:
            Output at rest, in the network's own structure, where the coding needs it; else None.
        """
        initial = self._plan.method.initial
        if initial.steps:
            self._run_before(initial.before, initial.steps)
        if not self._coding.needs_rest:
            return None
        return map_structure(lambda signal: signal.data, Signal, self._run_before(_rest, 1))

    def _run_before(self, before: Before, steps: int) -> Any:
        self._progress.before = before
        output = self.run(steps)
        self._progress.before = None
        if not self._coding.needs_rest:  # else pools go on from what they saw at rest
            for node in (*self._plan.nodes_of(Kind.POOLING), *self._plan.nodes_of(Kind.UNPOOLING)):
                self._progress.states.pop(node, None)
        return output

    def advance(self, steps: int) -> Any:
        """Run `steps` more time steps.

        Returns:
            Output of the network with its own structure, each tensor a `Signal` over these steps (or
            over one step, where the output does not change over time).
        """
        output = self.run(steps)
        self._progress.done += steps
        return output

    def run(self, steps: int) -> Any:
        """Run all operations over `steps` time steps, which do not count as steps of the read-out."""
        constant, absorbed = self._progress.constant, self._runner.absorbed
        values: dict[fx.Node, Any] = dict(constant)
        output: Any = None
        for node in self._plan.captured.graph.nodes:
            if node in absorbed:
                continue
            if node.op == "output":
                output = fx.map_arg(node.args[0], lambda source: values[source])
                output = map_structure(lambda tensor: Signal(tensor, 1), Tensor, output)
                output = map_structure(lambda total: total.mean, Total, output)
            elif node not in values:
                values[node] = value = self._runner.evaluate(node, values, steps)
                if self._is_constant(node):
                    constant[node] = value
            for source in self._runner.last_use.get(node, ()):
                values.pop(source, None)
        return output

    def _is_constant(self, node: fx.Node) -> bool:
        """True for values computed from constants alone; a chunk of one step is not a constant."""
        role = self._plan.roles.get(node)
        if role is not None and role.kind is Kind.NEURON:
            return False
        if role is not None and role.kind is Kind.CONSTANT:
            return True
        if node.op == "placeholder" and self._coding.needs_rest:
            return False  # shown in one step only
        return all(source in self._progress.constant for source in node.all_input_nodes)


def _rest(neuron: Neuron, current: Tensor, steps: int, state: State) -> tuple[Tensor, State, None]:
    """A step in which no layer sends anything."""
    silence = room_for(current, steps).zero_()
    return silence, neuron.at_rest(current[0], state), None
