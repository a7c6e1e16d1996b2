"""Energy models: from operation counts to picojoules an image.

Operations only, the figure most papers print. 45 nm CMOS, 32-bit floating point: a multiply-
accumulate costs 4.6 pJ (3.7 multiply + 0.9 add), an accumulate 0.9 pJ. Source: Horowitz 2014
(ISSCC), doi:10.1109/ISSCC.2014.6757323.

What is counted for a spiking network, up to time step t:

* each spike costs one accumulate per synapse it reaches; a burst of n counts n, a negative spike 1;
* a layer driven by the analog image is computed once per image, by multiply-accumulates;
* a layer driven by another layer's current, no neuron between, multiplies and accumulates densely
  in every step.

Left out, as in most papers: neuron updates, bias additions, comparisons in max pooling, memory.
"""

from __future__ import annotations

from collections.abc import Mapping

from conversion.neurons import Alphabet
from conversion.synapses import Connectivity

ENERGY_PER_MAC_PJ = 4.6  # 45 nm, fp32; Horowitz, ISSCC 2014
ENERGY_PER_AC_PJ = 0.9  # 45 nm, fp32 add; Horowitz, ISSCC 2014
ENERGY_PER_INT8_MAC_PJ = 0.23  # 45 nm, 0.2 multiply + 0.03 add; Horowitz, ISSCC 2014


def ann_energy_pj(wiring: Connectivity) -> float:
    """Energy of the ANN for one image: every multiply-accumulate in fp32."""
    return ENERGY_PER_MAC_PJ * wiring.macs


def operations_energy_pj(wiring: Connectivity, synops: Mapping[str, float], t: int, alphabet: str) -> float:
    """Energy of a converted network for one image up to time step t.

    Args:
        wiring: layers and their dense operations.
        synops: synaptic operations an image up to t, by layer.
        t: time steps run.
        alphabet: what a spike is; "none" for the quantised ANN, which runs 8-bit multiply-
            accumulates once.
    """
    if alphabet == "none":
        return ENERGY_PER_INT8_MAC_PJ * wiring.macs
    energy = 0.0
    for layer in wiring.layers:
        energy += ENERGY_PER_AC_PJ * synops.get(layer.name, 0.0)
        if layer.drive in ("analog", "mixed"):
            energy += ENERGY_PER_MAC_PJ * layer.macs
        elif layer.drive == "current":
            energy += ENERGY_PER_MAC_PJ * layer.macs * t
    return energy


__all__ = [
    "ENERGY_PER_AC_PJ",
    "ENERGY_PER_INT8_MAC_PJ",
    "ENERGY_PER_MAC_PJ",
    "Alphabet",
    "ann_energy_pj",
    "operations_energy_pj",
]
