"""Counts of a converted network, as the energy models of the room `energy` take them."""

from __future__ import annotations

from collections.abc import Mapping

import energy
from conversion.costs.activity import Active
from conversion.costs.synapses import Connectivity
from energy.operations import Operations

_OPERATIONS = Operations()


def network_of(wiring: Connectivity, active: Mapping[str, Active] | None = None) -> energy.Network:
    """The part that does not depend on time.

    Args:
        wiring: layers, their dense operations, sizes and sources.
        active: layer -> inputs of the ANN that are not zero, for one image; without it models that skip
            zeros have nothing to start from.
    """
    found = active or {}
    layers = tuple(
        energy.Layer(
            name=layer.name,
            macs=layer.macs,
            drive=layer.drive,
            weights=layer.weights,
            biases=layer.biases,
            inputs=layer.inputs,
            outputs=layer.outputs,
            taps=layer.taps,
            sources=tuple(layer.fanout),
            active_macs=found[layer.name].macs if layer.name in found else None,
            active_inputs=found[layer.name].inputs if layer.name in found else None,
        )
        for layer in wiring.layers
    )
    return energy.Network(layers, wiring.units, wiring.functions)


def ann_energy_pj(wiring: Connectivity) -> float:
    """Energy of the ANN for one image, operations model."""
    return sum(part.total for part in _OPERATIONS.ann(network_of(wiring)).values())


def operations_energy_pj(wiring: Connectivity, synops: Mapping[str, float], t: float, alphabet: str) -> float:
    """Energy of a converted network for one image up to time step t, operations model.

    Args:
        wiring: layers and their dense operations.
        synops: synaptic operations an image up to t, by layer.
        t: time steps run.
        alphabet: what a spike is; "none" for the quantised ANN, which runs once.
    """
    network = network_of(wiring)
    if alphabet == "none":
        parts = _OPERATIONS.quantised(network, energy.Quantised(energy.counts.MOST_BITS))
    else:
        parts = _OPERATIONS.spiking(network, energy.Run({}, synops, t, alphabet))
    return sum(part.total for part in parts.values())


__all__ = ["ann_energy_pj", "network_of", "operations_energy_pj"]
