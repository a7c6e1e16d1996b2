"""The backend for CPUs with a C compiler."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, fx

from conversion.costs.tally import SpikeTally
from conversion.neurons import Neuron
from conversion.plan.fitted import Fitted
from conversion.simulation.backend import PRECISIONS, Backend, FittingRunner, Precision, Running, Schedule
from conversion.simulation.compiled.buffers import MOST_KEPT, Buffers
from conversion.simulation.compiled.byte_layers import BYTES, ByteLayers
from conversion.simulation.compiled.fitting import FittingLayers
from conversion.simulation.compiled.native import has_synapses, has_tables, kernel
from conversion.simulation.compiled.prepared import Prepared, fusions_of
from conversion.simulation.compiled.schedule import by_rule, candidates, planes_for, uses_tables
from conversion.simulation.compiled.table_layers import TABLES, TableLayers, packs
from conversion.simulation.compiled.trials import biases_in_kernel, can_try, try_in_kernel
from conversion.simulation.fused.firing import carriers_of, firing_of, without_bias
from conversion.simulation.memory import Footprint, Fused, footprint
from conversion.simulation.pytorch.layers import TorchLayers
from conversion.simulation.trials import Answers, Sample, Starts
from conversion.simulation.walk import LayerRunner, Walk, WalkState


class Compiled(Backend):
    """Runs layers in kernels that are compiled once for this machine."""

    name: ClassVar[str] = "compiled"
    packs_weights: ClassVar[bool] = True

    def suits(self, images: Tensor) -> bool:
        """True for float32 images on a CPU with a C compiler."""
        return images.device.type == "cpu" and images.dtype == torch.float32 and kernel() is not None

    def runs(self, precision: Precision) -> bool:
        """True for the precisions of CPUs on a processor that multiplies bytes (AVX2 or AVX-512 VNNI)."""
        return precision == "float32" or (precision in PRECISIONS and has_synapses())

    @property
    def kernels(self) -> tuple[str, ...]:
        """Neurons; layers with weights and their tables where the processor has what they need."""
        if kernel() is None:
            return ()
        found = (("layers", has_synapses()), ("tables", has_tables()))
        return ("neurons", *(name for name, there in found if there))

    @property
    def fingerprint(self) -> str:
        """A hash of the kernels' source, the compiler and the processor."""
        library = kernel()
        return Path(library._name).stem if library else ""

    def schedules(self, fitted: Fitted, images: Tensor, chunk: int, precision: Precision) -> list[Schedule]:
        """The rule's choice, its neighbours, and the other kernel."""
        rule = by_rule(fitted, images, chunk, precision)
        return candidates(rule, len(images), chunk, planes_for(fitted.neurons))

    def used(self, kernels: Collection[str], precision: Precision) -> Precision:
        """What was asked for where some weights were packed; PyTorch has them in float32."""
        return precision if {BYTES, TABLES} & set(kernels) else "float32"

    def prepare(self, fitted: Fitted, precision: Precision) -> Prepared:
        """Fusions and packed weights."""
        return Prepared(fitted, precision)

    def start(
        self, prepared: Prepared, parts: Sequence[Tensor], schedule: Schedule, tally: SpikeTally, frugal: bool
    ) -> list[Running]:
        """A walk for each part; all of them take the memory of their signals from one store."""
        buffers = Buffers(0 if frugal else MOST_KEPT)
        planes = planes_for(prepared.fitted.neurons)
        running: list[Running] = []
        for part in parts:
            tables = schedule.kernel == TABLES
            if len(part) < schedule.images:  # what is left of a batch may be better off otherwise
                tables = uses_tables(len(part), schedule.chunk, prepared.precision, planes)
            progress = WalkState()
            reference = TorchLayers(prepared.fitted, part, progress, tally, in_short=True)
            in_bytes = ByteLayers(prepared, reference, progress, tally, buffers)
            runner: LayerRunner = in_bytes
            if tables and packs(prepared, len(part)):
                runner = TableLayers(in_bytes, len(part), progress)
            running.append(Walk(prepared.fitted.plan, runner, progress))
        return running

    def fitting(self, fitted: Fitted, images: Tensor, progress: WalkState) -> FittingRunner:
        """Spikes as bytes, currents summed in the kernel."""
        return FittingLayers(fitted, images, progress)

    def try_starts(self, neuron: Neuron, sample: Sample, starts: Starts) -> Answers:
        """In a kernel, for neurons that fire in it."""
        if not can_try(neuron, sample):
            return super().try_starts(neuron, sample, starts)
        return try_in_kernel(neuron, sample, starts)

    def temporal_biases(
        self, neuron: Neuron, sample: Sample, start: Starts, rounds: int, rate: float
    ) -> Tensor:
        """In a kernel, for neurons that fire in it."""
        if not can_try(neuron, sample):
            return super().temporal_biases(neuron, sample, start, rounds, rate)
        return biases_in_kernel(neuron, sample, start, rounds, rate)

    def footprint(self, fitted: Fitted, values: Mapping[str, int]) -> Footprint:
        """Fused layers hold spikes in bytes where they fit."""
        fused: dict[fx.Node, Fused] = {}
        carriers = carriers_of(fitted.neurons)
        for node, fusion in fusions_of(fitted).items():
            layer = fitted.layers[fitted.plan.roles[node].name]
            inside = fusion.telescoped is None or fusion.telescoped.firing.inside
            fires = inside and firing_of(without_bias(layer.neuron), layer.capped) is not None
            in_bytes = carriers[layer.neuron] is not torch.float32
            fused[node] = Fused(fusion.absorbed, in_bytes, fires)
        return footprint(fitted, values, fused)
