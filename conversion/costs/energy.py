"""Energy models: from operation counts to picojoules an image.

Operations only, the figure most papers print. 45 nm CMOS, 32-bit floating point: a multiply-
accumulate costs 4.6 pJ (3.7 multiply + 0.9 add), an accumulate 0.9 pJ. Source: Horowitz 2014
(ISSCC), doi:10.1109/ISSCC.2014.6757323.

What is counted for a spiking network, up to time step t:

* each event costs one accumulate per synapse it reaches; what an event is, the neuron says
  (`Neuron.events`): a burst of n is n events, a negative spike 1, a power of two ("graded",
  "weighted") 1, because the weight is shifted and then added;
* an event that carries a real number (alphabet "real") costs a multiply-accumulate per synapse;
* a layer driven by the analog image is computed once per image, by multiply-accumulates;
* a layer driven by another layer's current, no neuron between, multiplies and accumulates densely
  in every step.

The other convention for bursts, one event that carries an integer and costs one multiply-accumulate of
integers (3.2 pJ), is not offered: it needs the number of bursts, where records count their spikes. It
has at most as many events.

Left out, as in most papers: neuron updates, bias additions, comparisons in max pooling, memory.
`conversion.costs.memory_energy` has models with memory; `energy_by_layer` asks all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from conversion.costs.memory_energy import MEMORY_MODELS, ann_memory_energy, memory_energy
from conversion.costs.synapses import Connectivity, SynapticLayer

OPERATIONS = "operations"  # name of this model
ENERGY_PER_MAC_PJ = 4.6  # 45 nm, fp32; Horowitz, ISSCC 2014
ENERGY_PER_AC_PJ = 0.9  # 45 nm, fp32 add; Horowitz, ISSCC 2014
ENERGY_PER_INT8_MAC_PJ = 0.23  # 45 nm, 0.2 multiply + 0.03 add; Horowitz, ISSCC 2014


def ann_energy_pj(wiring: Connectivity) -> float:
    """Energy of the ANN for one image: every multiply-accumulate in fp32."""
    return ENERGY_PER_MAC_PJ * wiring.macs


def operations_energy_pj(wiring: Connectivity, synops: Mapping[str, float], t: float, alphabet: str) -> float:
    """Energy of a converted network for one image up to time step t.

    Args:
        wiring: layers and their dense operations.
        synops: synaptic operations an image up to t, by layer.
        t: time steps run.
        alphabet: what a spike is; "none" for the quantised ANN, which runs 8-bit multiply-
            accumulates once.
    """
    return sum(_operations_pj(layer, synops.get(layer.name, 0.0), t, alphabet) for layer in wiring.layers)


def _operations_pj(layer: SynapticLayer, synops: float, t: float, alphabet: str) -> float:
    if alphabet == "none":
        return ENERGY_PER_INT8_MAC_PJ * layer.macs
    energy = (ENERGY_PER_MAC_PJ if alphabet == "real" else ENERGY_PER_AC_PJ) * synops
    if layer.drive in ("analog", "mixed"):
        energy += ENERGY_PER_MAC_PJ * layer.macs
    elif layer.drive == "current":
        energy += ENERGY_PER_MAC_PJ * layer.macs * t
    return energy


def ann_energy_by_layer(wiring: Connectivity) -> dict[str, dict[str, float]]:
    """Energy of the ANN for one image in picojoules: model -> layer -> energy, for all models."""
    found = {OPERATIONS: {layer.name: ENERGY_PER_MAC_PJ * layer.macs for layer in wiring.layers}}
    for model, assumptions in MEMORY_MODELS.items():
        layers = ann_memory_energy(wiring, assumptions)
        found[model] = {name: breakdown.total for name, breakdown in layers.items()}
    return found


def energy_by_layer(
    wiring: Connectivity, spikes: Mapping[str, float], synops: Mapping[str, float], t: float, alphabet: str
) -> dict[str, dict[str, float]]:
    """Energy of a converted network for one image up to time step t: model -> layer -> picojoules.

    Args:
        wiring: layers, their dense operations and their sizes.
        spikes: spikes an image up to t, by source layer.
        synops: synaptic operations an image up to t, by layer.
        t: time steps run.
        alphabet: what a spike is; "none" for the quantised ANN.
    """
    found = {
        OPERATIONS: {
            layer.name: _operations_pj(layer, synops.get(layer.name, 0.0), t, alphabet)
            for layer in wiring.layers
        }
    }
    for model, assumptions in MEMORY_MODELS.items():
        layers = memory_energy(wiring, spikes, synops, t, alphabet, assumptions)
        found[model] = {name: breakdown.total for name, breakdown in layers.items()}
    return found


__all__ = [
    "ENERGY_PER_AC_PJ",
    "ENERGY_PER_INT8_MAC_PJ",
    "ENERGY_PER_MAC_PJ",
    "OPERATIONS",
    "ann_energy_by_layer",
    "ann_energy_pj",
    "energy_by_layer",
    "operations_energy_pj",
]
