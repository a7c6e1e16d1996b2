"""Operations alone in 32-bit floating point, the figure most papers print.

A multiply-accumulate costs 4.6 pJ (3.7 multiply + 0.9 add), an accumulate 0.9 pJ.

What is counted for a spiking network, up to time step t:

* each event costs one accumulate a synapse; what an event is, the neuron says (`Neuron.events`): a burst
  of n is n events, a negative spike 1, a power of two ("graded", "weighted") 1, because the weight is
  shifted and then added;
* an event that carries a real number (alphabet "real") costs a multiply-accumulate a synapse;
* a layer driven by the analog image is computed once an image, by multiply-accumulates;
* a layer driven by another layer's current, no neuron between, multiplies and accumulates densely in
  every step.

The other convention for bursts, one event that carries an integer and costs one multiply-accumulate of
integers (3.2 pJ), is not offered: it needs the number of bursts, where records count their spikes. It
has at most as many events.

The quantised ANN is charged 0.23 pJ a multiply-accumulate: 8 bits, and an accumulator of 8 bits, which no
chip has. That is how papers print it, and it favours the quantised ANN against 32-bit accumulates;
`energy.operations_int8` gives both the same widths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from energy.counts import Layer, Network, Quantised, Run, known
from energy.horowitz import ADD_FP32_PJ, ADD_INT8_PJ, MAC_FP32_PJ, MULTIPLY_INT8_PJ
from energy.model import Breakdown, Breakdowns, EnergyModel


@dataclass(frozen=True)
class Operations(EnergyModel):
    """Picojoules of an operation; all of them are assumptions."""

    source: ClassVar[str] = "Horowitz 2014, doi:10.1109/ISSCC.2014.6757323: 45 nm, 32-bit floating point"
    leaves_out: ClassVar[str] = (
        "neuron updates, evaluations of functions, biases, comparisons in max pooling, memory, and moving "
        "what an event carries"
    )

    name: str = "operations"
    summary: str = "operations alone, fp32: 4.6 pJ a MAC, 0.9 pJ an AC; the quantised ANN 0.23 pJ a MAC"
    ann_mac_pj: float = MAC_FP32_PJ
    mac_pj: float = MAC_FP32_PJ
    ac_pj: float = ADD_FP32_PJ
    quantised_mac_pj: float = MULTIPLY_INT8_PJ + ADD_INT8_PJ

    def ann(self, network: Network, *, skip_zeros: bool | None = None) -> Breakdowns:
        """Every multiply-accumulate; or those with an input that is not zero."""
        return {
            layer.name: Breakdown(operations=self.ann_mac_pj * ann_macs(layer, bool(skip_zeros)))
            for layer in network.layers
        }

    def quantised(self, network: Network, run: Quantised, *, skip_zeros: bool | None = None) -> Breakdowns:
        """The same multiply-accumulates, in few bits."""
        each = self.quantised_mac_of(run.bits)
        return {
            layer.name: Breakdown(operations=each * quantised_macs(layer, run, bool(skip_zeros)))
            for layer in network.layers
        }

    def spiking(self, network: Network, run: Run) -> Breakdowns:
        """An accumulate a synaptic operation, and what is not driven by spikes."""
        return {layer.name: Breakdown(operations=self._layer(layer, run)) for layer in network.layers}

    def quantised_mac_of(self, bits: int) -> float:
        """A multiply-accumulate of the quantised ANN: the same for all widths of activations."""
        return self.quantised_mac_pj

    def _layer(self, layer: Layer, run: Run) -> float:
        energy = (self.mac_pj if run.alphabet == "real" else self.ac_pj) * run.synops.get(layer.name, 0.0)
        if layer.drive in ("analog", "mixed"):
            energy += self.mac_pj * layer.macs
        elif layer.drive == "current":
            energy += self.mac_pj * layer.macs * run.t
        return energy


def ann_macs(layer: Layer, skip_zeros: bool) -> float:
    """Multiply-accumulates of the ANN, all or those with an input that is not zero."""
    return known(layer.active_macs, layer.name, "inputs that are not zero") if skip_zeros else layer.macs


def quantised_macs(layer: Layer, run: Quantised, skip_zeros: bool) -> float:
    """The same of the quantised ANN; where its own zeros are unknown, those of the ANN stand for them."""
    if skip_zeros and run.active_macs is not None and layer.name in run.active_macs:
        return run.active_macs[layer.name]
    return ann_macs(layer, skip_zeros)


MODELS = (Operations(),)
