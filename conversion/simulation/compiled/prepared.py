"""What all batches share in the compiled kernels: fusions and packed weights."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, fx

from conversion.graph.nodes import last_uses
from conversion.graph.operations import Kind
from conversion.plan.fitted import Fitted
from conversion.plan.plan import last_sources
from conversion.simulation.backend import Precision
from conversion.simulation.compiled.layers import Synapses, pack
from conversion.simulation.compiled.native import has_synapses
from conversion.simulation.compiled.native.structures import MAX_ADDENDS, MAX_CHANNELS
from conversion.simulation.compiled.tables import Tables
from conversion.simulation.fused.firing import carriers_of, range_of
from conversion.simulation.fused.fusion import Fusion, Limits, find_fusions, is_spike_driven, value_of


class Prepared:
    """Fusions and packed weights, for the weights and thresholds as they are now.

    Args:
        fitted: what runs.
        precision: of the weights.
    """

    def __init__(self, fitted: Fitted, precision: Precision) -> None:
        plan, limits = fitted.plan, limits_here()
        self._start_from(fitted, precision)
        self.sums = fitted.sums
        self.fusions = fusions_of(fitted)
        self.absorbed = frozenset(node for fusion in self.fusions.values() for node in fusion.absorbed)
        run_by = {neuron: fusion.absorbed for neuron, fusion in self.fusions.items()}
        self.last_use = last_uses(plan.captured.graph, run_by)
        for neuron, fusion in self.fusions.items():
            if fusion.synapses is not None:
                inside = fusion.telescoped is None or fusion.telescoped.firing.inside
                threshold = fitted.layers[plan.roles[neuron].name].threshold
                self._pack(fusion.synapses, threshold if inside else torch.ones(1))
        for node in plan.nodes_of(Kind.WEIGHTED):
            apart = node not in self.absorbed and node not in self.sums
            if apart and is_spike_driven(fitted, limits, node):
                self._pack(node, torch.ones(1))
        self.drivers = frozenset(node.all_input_nodes[0] for node in self.synapses)

    def _start_from(self, fitted: Fitted, precision: Precision) -> None:
        """What is known before anything is fused or packed."""
        self.fitted = fitted
        self.precision = precision
        self.values = values_of(fitted)
        self.carriers = carriers_of(fitted.neurons)
        self.least, self.most = range_of(fitted.neurons)
        self.last = last_sources(fitted.plan)
        self.synapses: dict[fx.Node, Synapses] = {}
        self.tables: dict[fx.Node, Tables] = {}  # made when first used

    def _pack(self, node: fx.Node, threshold: Tensor) -> None:
        module = self.fitted.plan.captured.get_submodule(str(node.target))
        spike_value = self.values[node.all_input_nodes[0]]
        assert spike_value is not None
        packed = pack(module, spike_value, threshold, self.precision, self.most, self.least)
        if len(self.fitted.plan.shapes[node]) == 3:
            packed = replace(packed, whole=False)  # tables have no tokens
        self.synapses[node] = packed


def values_of(fitted: Fitted) -> dict[fx.Node, Tensor | None]:
    """Value of one spike on every wire, as `value_of` has it."""
    return {node: value_of(fitted, node) for node in fitted.spike_values}


def fusions_of(fitted: Fitted) -> dict[fx.Node, Fusion]:
    """Neuron layers that run in the kernels; those that need no time steps have nothing to gain there."""
    found = find_fusions(fitted, limits_here())
    return {node: fusion for node, fusion in found.items() if node not in fitted.sums}


def limits_here() -> Limits:
    """Layers that the kernels run on this machine."""
    return Limits(
        has_synapses(),
        MAX_CHANNELS,
        MAX_ADDENDS,
        telescopes=True,
        grouped=True,
        tokens=True,
        shapeless=True,
    )
