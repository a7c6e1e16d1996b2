"""Relays: layers of neurons that stand wherever increments of real numbers would meet weights.

A telescoped function sends real numbers. Where they reach a layer with weights, or a product with
another signal, a relay turns them into spikes, so that between weights there are always spikes. What a layer
with weights gives is real as well: before a product it gets a relay, before other weights none, since
two of them in a row are one affine operation.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx

from conversion.functions.relay import relay
from conversion.graph.nodes import stand_for
from conversion.graph.operations import PRODUCTS, Kind


def insert_relays(captured: fx.GraphModule, kinds: Mapping[fx.Node, Kind]) -> None:
    """Insert relays into a graph in place.

    Args:
        captured: graph of a network.
        kinds: part of every operation on a signal that has one.
    """
    if Kind.FUNCTION not in kinds.values():
        return
    real = _real(captured.graph, kinds)
    relays: dict[fx.Node, fx.Node] = {}
    for node in list(captured.graph.nodes):
        kind = kinds.get(node)
        if kind is Kind.WEIGHTED:
            wanted = {Kind.FUNCTION}
        elif kind is Kind.FUNCTION and node.target in PRODUCTS:
            wanted = {Kind.FUNCTION, Kind.WEIGHTED}
        else:
            continue
        for source in node.all_input_nodes:
            if not real.get(source, set()) & wanted:
                continue
            if source not in relays:
                with captured.graph.inserting_after(source):
                    relays[source] = captured.graph.call_function(relay, (source,))
                stand_for(relays[source], node)
            node.replace_input_with(source, relays[source])
    captured.recompile()


def _real(graph: fx.Graph, kinds: Mapping[fx.Node, Kind]) -> dict[fx.Node, set[Kind]]:
    """Of which kind the sources of real numbers in each value are: functions, layers with weights."""
    found: dict[fx.Node, set[Kind]] = {}
    for node in graph.nodes:
        kind = kinds.get(node)
        if kind in (Kind.FUNCTION, Kind.WEIGHTED):
            found[node] = {kind}
        elif kind in (Kind.SCALE, Kind.SUM, Kind.ROUTING, Kind.SPREAD, Kind.POOLING, Kind.UNPOOLING):
            found[node] = set().union(*(found.get(source, set()) for source in node.all_input_nodes))
    return found
