"""What became of a network: every operation in a table, and how much of the work spikes do."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from conversion.costs.fanout import dense_macs, layer_of
from conversion.graph.nodes import attribute
from conversion.graph.operations import Kind
from conversion.neurons.quantiser import Quantiser
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan

_TITLES = ("layer", "operation", "became")


@dataclass(frozen=True)
class ReportLine:
    """One line of the conversion report: an operation and what became of it."""

    name: str
    operation: str
    became: str

    def __str__(self) -> str:
        return f"{self.name}: {self.operation} -> {self.became}"


class Report(list[ReportLine]):
    """Lines in graph order; printed, or shown in a notebook, as a table."""

    def __str__(self) -> str:
        rows = [_TITLES, *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        rows.insert(1, tuple("-" * len(title) for title in _TITLES))
        return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{title}</th>" for title in _TITLES)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self._rows()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _rows(self) -> list[tuple[str, ...]]:
        return [(line.name, line.operation, line.became) for line in self]


def report_of(plan: Plan, layers: Mapping[str, SpikingLayer]) -> Report:
    """What became of every operation, in graph order.

    Args:
        plan: of the converted network.
        layers: fitted layers; none where the recipe fits them for each T.
    """
    method = plan.method
    report = Report()
    for node, role in plan.roles.items():
        became = f"kept ({role.kind.value})"
        if role.kind is Kind.POOLING and not isinstance(method.neuron, Quantiser):
            became = f"{method.pooling.name} pooling"
            rule = plan.pooling_of(node)
            if rule != method.pooling.rule(spikes=False):
                became = f"{rule.name} pooling, as it does not receive the spikes of one layer for it alone"
        elif role.kind is Kind.UNPOOLING:
            became = "unpooling where the running maximum is"
        elif role.kind is Kind.NEURON:
            became = f"{method.neuron.name}"
            if role.name in layers:
                became += f", threshold {in_words(layers[role.name].threshold)}"
            elif method.needs_time_steps:
                became += ", fitted for each number of time steps"
        if role.kind is not Kind.SHAPE:
            report.append(ReportLine(role.name, role.operation, became))
    return report


def in_words(*values: torch.Tensor) -> str:
    """Range of numbers, such as "0.5 to 2", or the number where all are the same."""
    low = min(float(value.min()) for value in values)
    high = max(float(value.max()) for value in values)
    return f"{low:.4g}" + (f" to {high:.4g}" if high > low else "")


def spiking_share(plan: Plan) -> float | None:
    """Share of the ANN's multiply-accumulates at whose inputs spikes arrive, and nothing else.

    For images of the size of calibration; None where it cannot be computed, or there are none.
    """
    if isinstance(plan.method.neuron, Quantiser):
        return 0.0
    spiking = total = 0.0
    for node in plan.nodes_of(Kind.WEIGHTED):
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: _stand_in(plan, source))
        source = node.all_input_nodes[0]
        try:
            layer = layer_of(plan.captured, node, args, kwargs)
            images = plan.shapes[_image(plan)][0]
            macs = dense_macs(layer, _stand_in(plan, source), plan.shapes[node].numel()) / images
        except (KeyError, TypeError, IndexError, AttributeError):
            return None
        total += macs
        spiking += macs * (_arrives(plan, node) == {Kind.NEURON})
    return spiking / total if total else None


def _image(plan: Plan) -> fx.Node:
    nodes: Iterable[fx.Node] = plan.captured.graph.nodes
    return next(node for node in nodes if node.op == "placeholder")


def _stand_in(plan: Plan, node: fx.Node) -> Any:
    """A tensor of the right shape without values, for the value of a node."""
    if node.op == "get_attr":
        return attribute(plan.captured, str(node.target))
    return torch.empty(plan.shapes[node], device="meta") if node in plan.shapes else None


def _arrives(plan: Plan, node: fx.Node) -> set[Kind | None]:
    """What a layer with weights receives: spikes (NEURON), currents (WEIGHTED), the image (None)."""
    found: set[Kind | None] = set()
    pending, seen = list(node.all_input_nodes), set[fx.Node]()
    while pending:
        source = pending.pop()
        role = plan.roles.get(source)
        if source.op == "placeholder":
            found.add(None)
        elif role is not None and role.kind in (Kind.NEURON, Kind.WEIGHTED):
            found.add(role.kind)
        elif role is not None and role.kind not in (Kind.SHAPE, Kind.CONSTANT) and source not in seen:
            seen.add(source)
            pending += source.all_input_nodes
    return found
