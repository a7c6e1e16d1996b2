"""Operations, addressing and every access to on-chip memory.

The model of Lemaire et al. 2022 (ICONIP), arXiv 2210.13107: E = E_ops + E_addr + E_mem, layer by layer,
in 45 nm and 32-bit integers. Each layer owns its memories, and an access costs more the larger the memory
is (`energy.horowitz`). Numbers of equations below are the paper's.

Dense layers (all layers of the ANN):

* operations: MACs, and one addition an output for a bias (1.1 to 2.2);
* addressing: one addition an input, an output and a kernel tap;
* weights: one read a MAC, and one an output for a bias (6.1, 6.2);
* inputs and outputs: one write an output (11, 12); a convolution reads an input for each MAC, a
  linear layer reads each input once (3, 4).

Layers driven by spikes, with N spikes sent by the layers they listen to:

* neurons: one addition an output and step (1.4, 2.4);
* operations: one addition a synaptic operation; spikes that carry real numbers (alphabet "real") also one
  multiplication;
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
* Functions that are evaluated (SiLU, norms, softmax) are a line of their own, in all networks: what
  `energy.functions` says, and two reads of a table a look-up, in words as wide as an accumulator. The ANN
  and the quantised ANN evaluate once an image, the spiking network in every step.
* A product of two signals is two layers, one for each factor, whose weights are the stored values of the
  other. The ANN multiplies once. Keeping those stored values up to date is left out.
* Max pooling: what it sends is charged as spikes; what it stores and compares is left out.
* A layer that sees the analog image runs once as a dense layer. Its outputs are held and added to the
  membranes in every step: a read, an addition, and in the event-driven form a read and a write of the
  membrane, an output and step. A layer driven by other currents runs densely in every step. A
  "mixed" layer pays for both.
* Reads for each MAC mean that a dense layer keeps nothing in registers, which favours spikes. With
  `dense_reads="once"` a dense layer reads each weight and each input once an image, the least that any
  accelerator can do.
* The ANN is charged in 32-bit integers, 3.2 pJ a MAC, not the 4.6 pJ of floating point, in all forms.
* The 32-bit form (`WordWidths()`) has 32-bit weights, membranes and queues in the spiking network. Its
  quantised ANN has 8 bits everywhere, accumulators, biases and outputs included, whatever its activations
  need: as papers print it. Addresses are 32 bits wide everywhere.
* The 8-bit form (`INT8`) has 8-bit weights and 32-bit accumulators, biases and membranes on both sides, and
  the quantised ANN's activations in the bits that they need. An entry of a queue holds 32 bits of address
  and time, and what the event carries besides (`Run.payload_bits`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from energy.counts import Layer, Network, NotMeasured, Quantised, Run, known
from energy.functions import Work, telescoping_of, work_of
from energy.horowitz import (
    ADD_INT8_PJ,
    ADD_INT32_PJ,
    MULTIPLY_INT8_PJ,
    MULTIPLY_INT32_PJ,
    access_pj,
    multiply_by_8_pj,
)
from energy.model import Breakdown, Breakdowns, EnergyModel, together
from energy.operations import ann_macs, quantised_macs

ADDRESS_BITS = 32
ADDRESS_MAC_PJ = MULTIPLY_INT32_PJ + ADD_INT32_PJ  # addresses are computed in 32 bits everywhere
QUEUE_ENTRIES = 1000  # Lemaire et al. 2022, experiments


@dataclass(frozen=True)
class WordWidths:
    """Widths, in bits, of what a dense layer works on, and what its operations cost."""

    weight: int = 32
    bias: int = 32
    value: int = 32  # of an input
    output: int = 32
    multiply_pj: float = MULTIPLY_INT32_PJ
    add_pj: float = ADD_INT32_PJ


BYTES = WordWidths(8, 8, 8, 8, MULTIPLY_INT8_PJ, ADD_INT8_PJ)
INT8 = WordWidths(8, 32, 8, 32, MULTIPLY_INT8_PJ, ADD_INT32_PJ)


@dataclass(frozen=True)
class MemoryModel(EnergyModel):
    """One choice of hardware.

    Attributes:
        membrane: whether potentials move at every event or once a step.
        dense_reads: whether a dense layer reads its weights and inputs for each MAC or once an image.
        weight_bits: 32, or 8: the widths of the spiking network and of its quantised opponent.
        membrane_bits: width of a potential.
        access_bits: width of the access that `energy.horowitz.ACCESS_PJ` prices.
        pieces: of the piecewise lines that functions are evaluated by.
        skip_zeros: whether dense layers leave out what is multiplied by zero. A bit for each input
            says which is zero, and each of the others is located as a spike is.
    """

    source: ClassVar[str] = (
        "Lemaire et al. 2022, arXiv 2210.13107, equations 1 to 17; operations and accesses: Horowitz 2014, "
        "doi:10.1109/ISSCC.2014.6757323"
    )
    leaves_out: ClassVar[str] = (
        "comparisons of thresholds, of ReLU and in max pooling, updates of the sums that a product of two "
        "signals keeps, what a norm or softmax does once a vector, off-chip memory, control, leakage"
    )

    membrane: Literal["events", "clocked"] = "events"
    dense_reads: Literal["operation", "once"] = "operation"
    weight_bits: Literal[8, 32] = 32
    membrane_bits: int = 32
    access_bits: int = 32
    pieces: int = 16
    skip_zeros: bool = False

    @property
    def spiking_weight_bits(self) -> int:
        """As the form has it."""
        return self.weight_bits

    def ann(self, network: Network, *, skip_zeros: bool | None = None) -> Breakdowns:
        """32-bit integers, dense or without zeros."""
        skipping = self.skip_zeros if skip_zeros is None else skip_zeros
        layers = {
            layer.name: self._dense(
                layer,
                WordWidths(),
                ann_macs(layer, skipping),
                _active_inputs(layer, None) if skipping else None,
            )
            for layer in network.layers
        }
        return together(layers, self._functions(network, WordWidths()))

    def quantised(self, network: Network, run: Quantised, *, skip_zeros: bool | None = None) -> Breakdowns:
        """In 8 bits, dense or without zeros."""
        skipping = self.skip_zeros if skip_zeros is None else skip_zeros
        words = BYTES
        if self.weight_bits == 8:
            words = WordWidths(8, 32, run.bits, run.bits, multiply_by_8_pj(run.bits), ADD_INT32_PJ)
        layers = {
            layer.name: self._dense(
                layer,
                words,
                quantised_macs(layer, run, skipping),
                _active_inputs(layer, run.active_inputs) if skipping else None,
            )
            for layer in network.layers
        }
        accumulator = WordWidths() if self.weight_bits == 8 else BYTES
        return together(layers, self._functions(network, accumulator))

    def spiking(self, network: Network, run: Run) -> Breakdowns:
        """Layers with weights, then layers that send spikes."""
        words = INT8 if self.weight_bits == 8 else WordWidths()
        queue = self._queue(run)
        found = {}
        for layer in network.layers:
            synops = run.synops.get(layer.name, 0.0)
            outputs = known(layer.outputs, layer.name, "outputs")
            energy = self._membranes(layer, synops, run.t)
            if layer.drive in ("spikes", "mixed"):
                energy = self._events(layer, run, synops, words, queue, energy)
            if layer.drive != "spikes":
                runs = run.t if layer.drive == "current" else 1
                held = Breakdown(inputs_outputs=run.t * outputs * self._access(outputs, words.output))
                energy += self._dense(layer, words, layer.macs, None).times(runs) + held
            found[layer.name] = energy
        for source in network.units:
            n = run.spikes.get(source, 0.0)
            found[source] = Breakdown(neurons=n * ADD_INT32_PJ, inputs_outputs=n * queue)
        return together(found, self._evaluations(network, run))

    def _functions(self, network: Network, words: WordWidths) -> Breakdowns:
        """Every function once, as ANNs evaluate them."""
        if network.functions is None:
            raise NotMeasured("evaluations of functions were not counted; run the cell again")
        return {
            name: Breakdown(functions=self._worked(work_of(name, function), words))
            for name, function in network.functions.items()
        }

    def _evaluations(self, network: Network, run: Run) -> Breakdowns:
        """Functions that a spiking network evaluated, and telescoped, in every step."""
        found = {}
        for name, values in run.functions.items():
            function = (network.functions or {}).get(name)
            if function is None:
                raise NotMeasured(f"what {name!r} evaluates was not written down; run the cell again")
            work = work_of(name, function) + telescoping_of(function)
            times = values / function.values if function.values else 0.0
            found[name] = Breakdown(functions=self._worked(work.times(times), WordWidths()))
        return found

    def _worked(self, work: Work, words: WordWidths) -> float:
        """Energy of elementary operations."""
        piece = 2 * self._access(2 * self.pieces, 32)  # its slope and its offset
        return work.adds * words.add_pj + work.multiplies * words.multiply_pj + work.lookups * piece

    def _access(self, values: float, bits: int, *, of: float | None = None) -> float:
        """Energy of one value of `bits` in a memory of `values` of them, or of `of` bytes."""
        size = values * bits / 8 if of is None else of
        return access_pj(size) * bits / self.access_bits

    def _queue(self, run: Run) -> float:
        """One read or write of an event."""
        carried = run.payload_bits if self.weight_bits == 8 or self.skip_zeros else 0
        return self._access(QUEUE_ENTRIES, ADDRESS_BITS + carried)

    def _dense(self, layer: Layer, words: WordWidths, macs: float, active: float | None) -> Breakdown:
        """A layer that computes every output once, from every input or from those that are not zero."""
        if not layer.macs:  # the second factor of a product, which is multiplied where the first is
            return Breakdown()
        inputs, outputs = (
            known(layer.inputs, layer.name, "inputs"),
            known(layer.outputs, layer.name, "outputs"),
        )
        weights, owned = (
            known(layer.weights, layer.name, "weights"),
            known(layer.biases, layer.name, "biases"),
        )
        taps = known(layer.taps, layer.name, "kernel taps")
        seen = float(inputs) if active is None else active
        biases = float(outputs if owned else 0)
        reads, weight_reads, bias_reads = macs if taps else seen, macs, biases
        if self.dense_reads == "once":
            reads, weight_reads, bias_reads = seen, float(weights), float(owned)
            if active is not None:  # a weight whose inputs are all zero is not needed
                weight_reads = min(weight_reads, macs)
        size = (weights * words.weight + owned * words.bias) / 8
        located = 0.0
        mask = 0.0
        if active is not None:
            located = 2 * ADDRESS_MAC_PJ * active if taps else 0.0
            mask = inputs * self._access(inputs, 1)
        return Breakdown(
            operations=macs * (words.multiply_pj + words.add_pj) + biases * words.add_pj,
            addressing=(seen + outputs + taps) * ADD_INT32_PJ + located,
            weights=(weight_reads + bias_reads * words.bias / words.weight)
            * self._access(weights, words.weight, of=size),
            inputs_outputs=reads * self._access(inputs, words.value)
            + outputs * self._access(outputs, words.output)
            + mask,
        )

    def _events(
        self, layer: Layer, run: Run, synops: float, words: WordWidths, queue: float, ends: Breakdown
    ) -> Breakdown:
        """Spikes from their `queue` through the synapses of a layer to the membranes that they end at.

        Boards of many records ask for this a million times, so `ends` is filled up, not added to another.
        """
        weights, owned = (
            known(layer.weights, layer.name, "weights"),
            known(layer.biases, layer.name, "biases"),
        )
        outputs = known(layer.outputs, layer.name, "outputs")
        bias_reads = 0.0  # a mixed layer has read its biases with the image
        if owned and layer.drive == "spikes":
            bias_reads = outputs * (run.t if self.membrane == "clocked" else 1)
        arrivals = sum(run.spikes.get(source, 0.0) for source in known(layer.sources, layer.name, "sources"))
        located = 2 * ADDRESS_MAC_PJ if known(layer.taps, layer.name, "kernel taps") else 0.0
        operations = synops * words.add_pj
        if run.alphabet == "real":
            operations += synops * words.multiply_pj
        size = (weights * words.weight + owned * words.bias) / 8
        return Breakdown(
            neurons=ends.neurons,
            membrane=ends.membrane,
            operations=operations,
            addressing=synops * ADD_INT32_PJ + arrivals * located,
            weights=(synops + bias_reads * words.bias / words.weight)
            * self._access(weights, words.weight, of=size),
            inputs_outputs=arrivals * queue,
        )

    def _membranes(self, layer: Layer, synops: float, t: float) -> Breakdown:
        """Neurons that a layer drives: one addition a step, and their potentials in memory."""
        outputs, owned = (
            known(layer.outputs, layer.name, "outputs"),
            known(layer.biases, layer.name, "biases"),
        )
        steps = t * outputs
        if self.membrane == "clocked" or layer.drive != "spikes":
            touched = float(steps)
        else:
            touched = float(outputs if owned else 0)
        if self.membrane == "events":
            touched += synops
        return Breakdown(
            neurons=steps * ADD_INT32_PJ, membrane=2 * touched * self._access(outputs, self.membrane_bits)
        )


def _active_inputs(layer: Layer, own: Mapping[str, float] | None) -> float:
    """Inputs that are not zero; of the quantised ANN, or else of the ANN."""
    if own is not None and layer.name in own:
        return own[layer.name]
    return known(layer.active_inputs, layer.name, "inputs that are not zero")


def _forms(suffix: str, bits: Literal[8, 32], words: str) -> tuple[MemoryModel, ...]:
    return (
        MemoryModel(
            f"memory{suffix}",
            f"with memory, {words}; potentials move at every synaptic operation",
            weight_bits=bits,
        ),
        MemoryModel(
            f"memory-clocked{suffix}",
            f"with memory, {words}; potentials move once a step",
            membrane="clocked",
            weight_bits=bits,
        ),
        MemoryModel(
            f"memory-reuse{suffix}",
            f"with memory, {words}; dense layers read every weight and input once",
            dense_reads="once",
            weight_bits=bits,
        ),
    )


MODELS = (
    *_forms("", 32, "32-bit integers, the quantised ANN in bytes"),
    *_forms("-int8", 8, "8-bit weights and 32-bit accumulators on both sides"),
)
