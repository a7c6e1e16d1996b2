"""Which values count only by their sum over a whole window of time.

Neurons that know the sum of their whole input before they fire do not ask when it came. Where only such
neurons, or the mean of the output, follow a layer, every affine operation in between may be run once, on
sums, instead of once for each time step: the sum of W x + b over T steps is W (sum of x) + T b.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx

from conversion.graph.operations import Kind
from conversion.neurons import Neuron
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan
from conversion.signals.coding import RATE

_AFFINE = {Kind.WEIGHTED, Kind.SCALE, Kind.SUM, Kind.ROUTING, Kind.SPREAD, Kind.CONSTANT, Kind.SHAPE}


@dataclass(frozen=True)
class Sums:
    """Operations of a graph whose values are sums over a window.

    Attributes:
        senders: layers of neurons and pools that send no more than a sum.
        readers: operations that get a sum from one of them, neurons included.
    """

    senders: frozenset[fx.Node] = frozenset()
    readers: frozenset[fx.Node] = frozenset()

    def __contains__(self, node: fx.Node) -> bool:
        return node in self.senders or node in self.readers


def sums_of(plan: Plan, layers: Mapping[str, SpikingLayer]) -> Sums:
    """Where sums are enough; nowhere, where no neuron waits for the sum of a whole window."""
    summing = {
        node
        for node in plan.nodes_of(Kind.NEURON)
        if _answers_by_window(layers[plan.roles[node].name].neuron) and plan.telescoped(node) is None
    }
    if not summing or plan.neuron.coding is not RATE:
        return Sums()
    timed: set[fx.Node] = set()  # operations that need to know when their input came
    for node in reversed(plan.captured.graph.nodes):
        role = plan.roles.get(node)
        if node in summing or role is None:
            continue
        if role.kind not in _AFFINE or any(user in timed for user in node.users):
            timed.add(node)
    sending = [*summing, *plan.nodes_of(Kind.POOLING)]
    senders = frozenset(node for node in sending if not any(user in timed for user in node.users))
    carrying, readers = set(senders), set[fx.Node]()
    for node in plan.captured.graph.nodes:
        role = plan.roles.get(node)
        if role is None or role.kind in (Kind.CONSTANT, Kind.SHAPE):
            continue
        if any(source in carrying for source in node.all_input_nodes):
            readers.add(node)
            if role.kind is not Kind.NEURON:
                carrying.add(node)
    return Sums(senders, frozenset(readers))


def _answers_by_window(neuron: Neuron) -> bool:
    """True unless steps are needed: a class with steps of its own does not follow a window it inherits."""
    order = type(neuron).__mro__

    def first(name: str) -> int:
        return next(place for place, each in enumerate(order) if name in vars(each))

    return neuron.needs_sum_alone and first("window") <= min(first("step"), first("scan"))
