"""Fit a network layer by layer, in the order of computation, with all earlier layers already spiking.

One simulation of calibration images, all T steps in one chunk: each layer of neurons receives its
whole current before it fires, and a rule may change the layer first. The ANN runs at the same time, so
that the rule can compare. Memory grows with the number of images times T, and holds no more than the
values that later operations still need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor, fx, nn

from conversion.fitting.alongside import Alongside
from conversion.graph.nodes import attribute, last_uses
from conversion.graph.operations import SOURCES, Kind
from conversion.plan.fitted import Fitted
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan
from conversion.signals.signals import Signal, map_structure, signals_in
from conversion.simulation.choice import backend_for
from conversion.simulation.trials import Sample
from conversion.simulation.walk import Walk, WalkState


class Arrival:
    """A layer of neurons at the moment its whole current has arrived and nothing has been sent.

    Attributes:
        name: of the layer.
        steps: T.
        layer: what is known of it so far; a rule replaces it.
    """

    def __init__(self, owner: SpikingPass, node: fx.Node, name: str, values: dict[fx.Node, Any]) -> None:
        self.name = name
        self.steps = owner.steps
        self.layer = owner.layers[name]
        self._owner = owner
        self._node = node
        self._values = values
        self._signal: Signal | None = None
        self._samples: dict[tuple[int, int], Sample] = {}

    @property
    def axis(self) -> int:
        """Axis of the channels in [B, C, ...]: 1, or -1."""
        return self._owner.plan.roles[self._node].axis

    @property
    def signal(self) -> Signal:
        """What the neurons turn into spikes, in units of the activation, without the layer's offset.

        The layer's current, or increments of t F(mean current) where neurons send a telescoped F.
        """
        if self._signal is None:
            self._signal = self._owner.current(self._node, self._values, self.steps)
        return self._signal

    @property
    def current(self) -> Tensor:
        """The same as [T, B, ...], or [1, B, ...] if constant."""
        return self.signal.timed

    @cached_property
    def activation(self) -> Tensor:
        """What the ANN's neurons answer to the same images, [B, ...]."""
        return self._owner.ann.at(self._node)

    @cached_property
    def drive(self) -> Tensor:
        """What the ANN's neurons receive for the same images, [B, ...].

        The ANN runs once more where the layer's activation was asked for before.
        """
        (source,) = self._node.all_input_nodes
        return self._owner.ann.at(source)

    def rate(self) -> Tensor:
        """Mean over time of what the layer, as it is now, would send: [B, ...] like the activation."""
        return self._owner.rate(self._node, self.layer, self.signal)

    def sample(self, most: int, axis: int) -> Sample:
        """Neurons of every channel at random places of random images, the same places for all channels.

        Args:
            most: of each channel; all of them where there are no more.
            axis: of the channels in [B, ...].
        """
        current, activation = self.current, self.activation
        axis %= activation.ndim
        if (most, axis) in self._samples:
            return self._samples[most, axis]
        current = current.movedim(axis + 1, -1).flatten(1, -2)
        activation = activation.movedim(axis, -1).flatten(0, -2)
        order = places(len(activation), most)
        if order is not None:
            order = order.to(activation.device)
            current, activation = current.index_select(1, order), activation.index_select(0, order)
        found = Sample(current.permute(2, 0, 1).contiguous(), activation.T.contiguous(), self.steps)
        self._samples[most, axis] = found
        return found

    def parameters(self) -> list[nn.Parameter]:
        """Weights and biases between the sources of spikes before and this layer, used nowhere else."""
        return self._owner.parameters_of(self._node)

    def weights_changed(self) -> None:
        """Compute the current again when it is next read."""
        self._signal = None
        self._samples.clear()

    @property
    def splits(self) -> bool:
        """True where the current of one image can be computed without the other images."""
        inputs, images = list(self._inputs.values()), len(self._owner.images)
        if any(isinstance(value, int | torch.Size) for value in inputs):
            return False
        return all(signal.shape[:1] == (images,) for signal in signals_in(inputs))

    def mean_current(self, images: Tensor | slice) -> Tensor:
        """Mean over time of what arrives as a function of the present weights, with gradients to them.

        Args:
            images: which ones, by index [n]; all of them unless `splits`.
        """
        chosen = {
            source: map_structure(lambda mean: Signal(mean.data[images], 1), Signal, value)
            for source, value in self._means.items()
        }
        return self._owner.current(self._node, chosen, 1).data

    @cached_property
    def _inputs(self) -> dict[fx.Node, Any]:
        """What the operations between earlier layers and this one read."""
        return {source: self._values[source] for source in self._owner.inputs_of(self._node)}

    @cached_property
    def _means(self) -> dict[fx.Node, Any]:
        with torch.no_grad():
            return {
                source: map_structure(lambda signal: Signal(signal.timed.mean(0), 1), Signal, value)
                for source, value in self._inputs.items()
            }


Rule = Callable[[Arrival], None]


class SpikingPass:
    """A simulation of calibration images in which a rule fits each layer before it fires.

    Args:
        plan: captured network; a rule may change its weights.
        layers: what is known of the neuron layers so far.
        images: analog input [B, ...].
        steps: T.
        rule: called once for each layer of neurons, in the order of computation.
        ann: the ANN on these images; of this plan if None.
    """

    def __init__(
        self,
        plan: Plan,
        layers: Mapping[str, SpikingLayer],
        images: Tensor,
        steps: int,
        rule: Rule,
        ann: Alongside | None = None,
    ) -> None:
        self.layers = dict(layers)
        self.plan = plan
        self._progress = WalkState()
        fitted = Fitted(plan, dict(self.layers))
        self._operations = backend_for(images).fitting(fitted, images, self._progress)
        self.steps = steps
        self.images = images
        self.ann = ann or Alongside(plan, images)
        self._rule = rule
        self._segments = _segments(plan)
        self.absorbed = frozenset(node for segment in self._segments.values() for node in segment)
        self.last_use = last_uses(plan.captured.graph, self._segments)

    def fit(self) -> dict[str, SpikingLayer]:
        """The layers as the rule leaves them."""
        Walk(self.plan, self, self._progress).run(self.steps)
        return self.layers

    def current(self, node: fx.Node, values: Mapping[fx.Node, Any], steps: int) -> Signal:
        """What a layer of neurons turns into spikes, from the values that its segment reads."""
        segment, telescopes = self._segments[node], self._progress.telescopes
        for inner in (*segment, node):
            telescopes.pop(inner, None)  # of an evaluation before
        current = self._operations.current(node, segment, dict(values), steps)
        return self._operations.received(node, self.plan.roles[node].name, current, steps)

    def rate(self, node: fx.Node, layer: SpikingLayer, received: Signal) -> Tensor:
        """Mean over time of what a layer would send for what it receives."""
        return self._operations.rate(node, layer, received, self.steps)

    def inputs_of(self, node: fx.Node) -> list[fx.Node]:
        """Nodes outside the segment of a layer that it reads."""
        segment = self._segments[node]
        readers = [*segment, node]
        return list(dict.fromkeys(s for n in readers for s in n.all_input_nodes if s not in segment))

    def parameters_of(self, node: fx.Node) -> list[nn.Parameter]:
        """Floating-point parameters that only the segment of this layer uses."""
        segment = set(self._segments[node])
        users: dict[nn.Parameter, bool] = {}  # parameter -> used by this segment only
        for other in self.plan.captured.graph.nodes:
            for parameter in _parameters(self.plan, other):
                users[parameter] = users.get(parameter, True) and other in segment
        return [parameter for parameter, mine in users.items() if mine and parameter.is_floating_point()]

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], steps: int) -> Any:
        """Value of a node; a layer of neurons fires as soon as the rule has fitted it."""
        if node not in self._segments:
            return self._operations.evaluate(node, values, steps)
        name = self.plan.roles[node].name
        arrival = Arrival(self, node, name, values)
        self._rule(arrival)
        self.layers[name] = arrival.layer
        self._operations.refit(Fitted(self.plan, dict(self.layers)))
        sent = self._operations.sent(node, name, arrival.signal, steps)
        self._progress.states.pop(node, None)  # all steps are done
        return sent


@lru_cache(maxsize=8)
def places(count: int, most: int) -> Tensor | None:
    """At most so many of `count` places, in a random order that is always the same; None for all of them."""
    if count <= most:
        return None
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most]


def _segments(plan: Plan) -> dict[fx.Node, list[fx.Node]]:
    """For each layer of neurons, the operations on whose results it alone depends, in graph order."""
    owner: dict[fx.Node, fx.Node] = {}
    segments: dict[fx.Node, list[fx.Node]] = {node: [] for node in plan.nodes_of(Kind.NEURON)}
    for node in reversed(plan.captured.graph.nodes):
        if node in segments:
            owner[node] = node
            continue
        role = plan.roles.get(node)
        if node.op in ("placeholder", "output") or (role is not None and role.kind in SOURCES):
            continue
        # A neuron layer ends the segments before it: to its own readers it is an input.
        owners = {owner.get(user) for user in node.users}
        if len(owners) == 1 and (only := owners.pop()) is not None:
            owner[node] = only
            segments[only].insert(0, node)
    return segments


def _parameters(plan: Plan, node: fx.Node) -> list[nn.Parameter]:
    """Parameters that one operation uses."""
    if node.op == "call_module":
        return list(plan.captured.get_submodule(str(node.target)).parameters())
    if node.op == "get_attr":
        value = attribute(plan.captured, str(node.target))
        return [value] if isinstance(value, nn.Parameter) else []
    return []
