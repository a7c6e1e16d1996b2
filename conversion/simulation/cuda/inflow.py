"""What flows into a layer of neurons: the sums before it run in its kernel, in the order of the graph."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import fx

from conversion.graph.operations import Kind
from conversion.plan.plan import Plan
from conversion.simulation.cuda.scanning import MOST_ADDENDS

_ADDITIONS = (operator.add, torch.add, "add")


@dataclass(frozen=True)
class Inflow:
    """What is added up before a layer of neurons: ((first + second) + third).

    Attributes:
        addends: values, in the order in which they are added.
        absorbed: the sums, which do not run on their own.
    """

    addends: tuple[fx.Node, ...]
    absorbed: tuple[fx.Node, ...]


def inflow_of(plan: Plan, neuron: fx.Node) -> Inflow:
    """Inflow of a layer; floats do not add up alike in another order, so the order is kept."""
    node = neuron.all_input_nodes[0]
    later: list[fx.Node] = []
    absorbed: list[fx.Node] = []
    if plan.telescoped(neuron) is None:
        while len(later) < MOST_ADDENDS - 1 and _is_plain_sum(plan, node, neuron):
            one, other = node.all_input_nodes
            if _is_plain_sum(plan, other, neuron) and not _is_plain_sum(plan, one, neuron):
                one, other = other, one  # a + b is b + a
            absorbed.append(node)
            later.append(other)
            node = one
    return Inflow((node, *reversed(later)), tuple(reversed(absorbed)))


def _is_plain_sum(plan: Plan, node: fx.Node, neuron: fx.Node) -> bool:
    """A sum of two signals of the neurons' shape that only one operation reads."""
    role = plan.roles.get(node)
    if role is None or role.kind is not Kind.SUM or node.target not in _ADDITIONS:
        return False
    if role.moved or len(node.users) > 1 or node.kwargs or len(node.args) != 2:
        return False
    both = node.all_input_nodes
    if len(both) != 2 or not all(one in plan.roles or one.op == "placeholder" for one in both):
        return False
    return all(plan.shapes[one][1:] == plan.shapes[neuron][1:] for one in both)
