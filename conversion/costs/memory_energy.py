"""Energy with memory: operations, addressing and every access to on-chip memory, in picojoules an image.

The model of Lemaire et al. 2022 (ICONIP), arXiv 2210.13107: E = E_ops + E_addr + E_mem, layer by
layer, in 45 nm and 32-bit integers. Each layer owns its memories, and an access costs more the larger
the memory is. Numbers of equations below are the paper's.

Dense layers (all layers of the ANN):

* operations: MACs, and one addition an output for a bias (1.1 to 2.2);
* addressing: one addition an input, an output and a kernel tap;
* weights: one read a MAC, and one an output for a bias (6.1, 6.2);
* inputs and outputs: one write an output (11, 12); a convolution reads an input for each MAC, a
  linear layer reads each input once (3, 4).

Layers driven by spikes, with N spikes sent by the layers they listen to:

* operations: one addition a synaptic operation, and one an output and step for the neuron (1.4, 2.4);
  spikes that carry real numbers (alphabet "real") also one multiplication a synaptic operation;
* addressing: one addition a synaptic operation; in a convolution also two MACs a spike (16.2 to 17.2);
* weights: one read a synaptic operation, and one an output for a bias (7, 8);
* inputs and outputs: one read of a queue a spike (5);
* membrane: a read and a write a synaptic operation, and one of each an output for a bias (14, 15).

What the paper leaves open, or does differently, and what is chosen here:

* The paper takes kernel taps per spike; synaptic operations are counted exactly, so taps that fall
  off the border or between strides cost nothing. Equation 2.4 as printed has the inputs once too often.
* Equations 14 and 15 count writes of the membrane; a write needs a read, so both are charged.
* The event-driven form ("events") is the paper's. In the "clocked" form every membrane is read and
  written, and every bias read, once an output and step, however many spikes arrive.
* Every spike sent costs its neuron one write of a queue (13) and one addition for the reset (1.4),
  listed under the name of the neuron or pooling layer. A burst of n is n spikes, as in SynOps. Queues
  hold 1000 entries, as in the paper's experiments.
* Max pooling: what it sends is charged as spikes; what it stores and compares is left out.
* A layer that sees the analog image runs once as a dense layer. Its outputs are held and added to the
  membranes in every step: a read, an addition, and in the event-driven form a read and a write of the
  membrane, an output and step. A layer driven by other currents runs densely in every step. A
  "mixed" layer pays for both.
* The quantised ANN (alphabet "none") is dense, once, in 8 bits: a value is a quarter of a 32-bit word,
  in an access and in the size of a memory. Addresses stay 32 bits wide.
* The ANN is charged in 32-bit integers here, 3.2 pJ a MAC, not the 4.6 pJ of floating point.
* Reads for each MAC mean that a dense layer keeps nothing in registers, which favours spikes. With
  `dense_reads="once"` a dense layer reads each weight and each input once an image, the least that any
  accelerator can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Literal

from conversion.costs.synapses import Connectivity, SynapticLayer
from conversion.neurons import Alphabet

ADD_PJ = 0.1  # 45 nm, 32-bit integer; Horowitz, ISSCC 2014
MULTIPLY_PJ = 3.1  # 45 nm, 32-bit integer; Horowitz, ISSCC 2014
ADD_INT8_PJ = 0.03  # 45 nm; Horowitz, ISSCC 2014
MULTIPLY_INT8_PJ = 0.2  # 45 nm; Horowitz, ISSCC 2014

# Memory size in bytes -> picojoules for a 32-bit access. Horowitz gives 8 kB, 32 kB and 1 MB; Lemaire et
# al. draw lines between them, through the origin below, and stay at 1 MB above.
ACCESS_PJ = ((0, 0.0), (8 * 1024, 10.0), (32 * 1024, 20.0), (1024 * 1024, 100.0))
WORD_BYTES = 4
QUEUE_ENTRIES = 1000  # Lemaire et al. 2022, experiments


@dataclass(frozen=True)
class Assumptions:
    """What the model is told about the hardware."""

    membrane: Literal["events", "clocked"] = "events"
    dense_reads: Literal["operation", "once"] = "operation"


MEMORY_MODELS: dict[str, Assumptions] = {
    "memory": Assumptions(),
    "memory-clocked": Assumptions(membrane="clocked"),
    "memory-reuse": Assumptions(dense_reads="once"),
}


@dataclass(frozen=True)
class Breakdown:
    """Where the energy of one layer goes, in picojoules."""

    operations: float = 0.0
    addressing: float = 0.0
    weights: float = 0.0
    inputs_outputs: float = 0.0
    membrane: float = 0.0

    @property
    def total(self) -> float:
        """Everything together."""
        return sum(getattr(self, field.name) for field in fields(self))

    def __add__(self, other: Breakdown) -> Breakdown:
        return Breakdown(
            **{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        )

    def times(self, n: float) -> Breakdown:
        """The same, `n` times."""
        return Breakdown(**{field.name: getattr(self, field.name) * n for field in fields(self)})


@dataclass(frozen=True)
class _Arithmetic:
    add: float
    multiply: float
    value_bytes: int

    def access(self, values: int) -> float:
        """One value in a memory that holds so many."""
        return access_pj(values * self.value_bytes) * self.value_bytes / WORD_BYTES


_INT32 = _Arithmetic(ADD_PJ, MULTIPLY_PJ, WORD_BYTES)
_INT8 = _Arithmetic(ADD_INT8_PJ, MULTIPLY_INT8_PJ, 1)


def access_pj(size: float) -> float:
    """Energy of one 32-bit access to a memory of `size` bytes."""
    for (low, cheap), (high, dear) in pairwise(ACCESS_PJ):
        if size <= high:
            return cheap + (dear - cheap) * (size - low) / (high - low)
    return ACCESS_PJ[-1][1]


def ann_memory_energy(
    wiring: Connectivity, assumptions: Assumptions = MEMORY_MODELS["memory"]
) -> dict[str, Breakdown]:
    """Energy of the ANN for one image, by layer."""
    return {layer.name: _dense(layer, assumptions, _INT32) for layer in wiring.layers}


def memory_energy(
    wiring: Connectivity,
    spikes: Mapping[str, float],
    synops: Mapping[str, float],
    t: float,
    alphabet: Alphabet | str,
    assumptions: Assumptions = MEMORY_MODELS["memory"],
) -> dict[str, Breakdown]:
    """Energy of a converted network for one image up to time step t, by layer.

    Args:
        wiring: layers, their sizes and their sources.
        spikes: spikes an image up to t, by source layer.
        synops: synaptic operations an image up to t, by layer.
        t: time steps run.
        alphabet: what a spike is; "none" for the quantised ANN.
        assumptions: which hardware.

    Returns:
        Layers with weights, then layers that send spikes.
    """
    if alphabet == "none":
        return {layer.name: _dense(layer, assumptions, _INT8) for layer in wiring.layers}
    found = {}
    for layer in wiring.layers:
        energy = _membranes(layer, synops.get(layer.name, 0.0), t, assumptions)
        if layer.drive in ("spikes", "mixed"):
            energy += _events(layer, layer.arrivals(spikes), synops.get(layer.name, 0.0), t, assumptions)
            if alphabet == "real":
                energy += Breakdown(operations=synops.get(layer.name, 0.0) * MULTIPLY_PJ)
        if layer.drive != "spikes":
            runs = t if layer.drive == "current" else 1
            held = Breakdown(inputs_outputs=t * layer.outputs * _INT32.access(layer.outputs))
            energy += _dense(layer, assumptions, _INT32).times(runs) + held
        found[layer.name] = energy
    sent = ADD_PJ, _INT32.access(QUEUE_ENTRIES)
    for source in wiring.units:
        n = spikes.get(source, 0.0)
        found[source] = Breakdown(operations=n * sent[0], inputs_outputs=n * sent[1])
    return found


def _dense(layer: SynapticLayer, assumptions: Assumptions, arithmetic: _Arithmetic) -> Breakdown:
    """A layer that computes every output from every input, once."""
    biases = layer.outputs if layer.biases else 0
    reads = layer.macs if layer.taps else float(layer.inputs)
    weights = layer.macs + biases
    if assumptions.dense_reads == "once":
        reads, weights = float(layer.inputs), float(layer.weights + layer.biases)
    return Breakdown(
        operations=layer.macs * (arithmetic.multiply + arithmetic.add) + biases * arithmetic.add,
        addressing=(layer.inputs + layer.outputs + layer.taps) * ADD_PJ,
        weights=weights * arithmetic.access(layer.weights + layer.biases),
        inputs_outputs=reads * arithmetic.access(layer.inputs)
        + layer.outputs * arithmetic.access(layer.outputs),
    )


def _events(
    layer: SynapticLayer, arrivals: float, synops: float, t: float, assumptions: Assumptions
) -> Breakdown:
    """Spikes on their way through the synapses of a layer, without the membranes they end at."""
    bias_reads = 0.0  # a mixed layer has read its biases with the image
    if layer.biases and layer.drive == "spikes":
        bias_reads = layer.outputs * (t if assumptions.membrane == "clocked" else 1)
    located = 2 * (MULTIPLY_PJ + ADD_PJ) if layer.taps else 0.0
    return Breakdown(
        operations=synops * ADD_PJ,
        addressing=synops * ADD_PJ + arrivals * located,
        weights=(synops + bias_reads) * _INT32.access(layer.weights + layer.biases),
        inputs_outputs=arrivals * _INT32.access(QUEUE_ENTRIES),
    )


def _membranes(layer: SynapticLayer, synops: float, t: float, assumptions: Assumptions) -> Breakdown:
    """Neurons that a layer drives: one addition a step, and their potentials in memory."""
    steps = t * layer.outputs
    if assumptions.membrane == "clocked" or layer.drive != "spikes":
        touched = float(steps)
    else:
        touched = float(layer.outputs if layer.biases else 0)
    if assumptions.membrane == "events":
        touched += synops
    return Breakdown(operations=steps * ADD_PJ, membrane=2 * touched * _INT32.access(layer.outputs))


__all__ = [
    "ACCESS_PJ",
    "ADD_INT8_PJ",
    "ADD_PJ",
    "MEMORY_MODELS",
    "MULTIPLY_INT8_PJ",
    "MULTIPLY_PJ",
    "QUEUE_ENTRIES",
    "Assumptions",
    "Breakdown",
    "access_pj",
    "ann_memory_energy",
    "memory_energy",
]
