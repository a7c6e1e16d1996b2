"""The spiking network: its fitted layers, simulated by what is fastest on this machine."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from conversion.converted import Converted
from conversion.costs.tally import SpikeTally
from conversion.errors import ConversionError
from conversion.graph.plain import note, noted
from conversion.nir.export import export
from conversion.outputs import Readout, added, decoded, joined, measure, of_all_images, summed
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan
from conversion.plan.units import units
from conversion.plan.window import FROM_START, Window
from conversion.signals.signals import Signal, map_structure
from conversion.simulation.compiled import simulator as compiled
from conversion.simulation.compiled.buffers import MOST_KEPT, Buffers
from conversion.simulation.compiled.native import has_synapses
from conversion.simulation.compiled.schedule import Schedule, by_rule, candidates, planes_for, uses_tables
from conversion.simulation.compiled.table_simulator import TableSimulation
from conversion.simulation.fused.fixed_point import PLANES, Precision
from conversion.simulation.fused.fusion import find_fusions
from conversion.simulation.memory import fit_into, footprint
from conversion.simulation.probe import LEAST_CHUNKS, Probe
from conversion.simulation.pytorch.simulator import Simulation
from conversion.tensors import EXTRA


class SpikingNetwork(Converted):
    """A network whose activations are spike trains.

    Args:
        plan: captured graph with the role of every operation.
        layers: fitted neuron layers by name.
        window: which steps each read-out averages.
    """

    def __init__(self, plan: Plan, layers: Mapping[str, SpikingLayer], window: Window = FROM_START) -> None:
        super().__init__(plan)
        self.window = window
        self._neurons = {name: layer.neuron for name, layer in layers.items()}
        self._prepared: tuple[Any, compiled.Prepared] | None = None
        self._probe = Probe(plan, self._neurons)
        for index, layer in enumerate(layers.values()):
            self.register_buffer(f"threshold_{index}", layer.threshold, persistent=True)
            self.register_buffer(f"initial_{index}", layer.initial, persistent=True)
            self.register_buffer(f"offset_{index}", layer.offset, persistent=True)

    @property
    def layers(self) -> dict[str, SpikingLayer]:
        """Fitted neuron layers by name, in the order of computation."""
        ceilings = {role.name: role.ceiling for role in self.plan.roles.values()}
        return {
            name: SpikingLayer(
                neuron,
                self.get_buffer(f"threshold_{index}"),
                self.get_buffer(f"initial_{index}"),
                getattr(self, f"offset_{index}"),
                ceilings[name],
            )
            for index, (name, neuron) in enumerate(self._neurons.items())
        }

    @property
    def thresholds(self) -> dict[str, Tensor]:
        """Threshold of each neuron layer, broadcastable to its activations [B, C, ...]."""
        return {name: layer.threshold for name, layer in self.layers.items()}

    def with_layers(self, layers: Mapping[str, SpikingLayer]) -> SpikingNetwork:
        """The same network with other fitted layers; both share the graph and its weights."""
        network = SpikingNetwork(self.plan, layers, self.window)
        network.provenance = dict(self.provenance)
        return network

    def _reported(self) -> Mapping[str, SpikingLayer]:
        return self.layers

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_probe"]  # packed weights and schedules are found again
        return {**state, "_prepared": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._probe = Probe(self.plan, self._neurons)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._prepared = None
        super()._apply(fn, recurse)
        return self

    def get_extra_state(self) -> Tensor:
        """What was fitted and is no tensor, for the state dict: neurons and window."""
        return note({"recipe": self.recipe.parts(), "neurons": self._neurons, "window": self.window})

    def set_extra_state(self, state: Tensor) -> None:
        """Take over what `get_extra_state` of another network of the same recipe gave.

        Raises:
            ValueError: it comes from another recipe or another network.
        """
        found = noted(state)
        if found.get("recipe") != self.recipe.parts():
            raise ValueError(f"the state is of another recipe than '{self.recipe.label}'")
        if list(found["neurons"]) != list(self._neurons):
            raise ValueError("the state is of a network with other neuron layers")
        self._neurons, self.window = found["neurons"], found["window"]
        self._probe = Probe(self.plan, self._neurons)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Take over fitted tensors, of whatever shape: neuron by neuron, by channel, by layer."""
        if prefix + EXTRA in state_dict:
            self.set_extra_state(state_dict[prefix + EXTRA])  # first: it refuses before anything is changed
        for index in range(len(self._neurons)):
            like = self.get_buffer(f"threshold_{index}")
            for name in (f"threshold_{index}", f"initial_{index}", f"offset_{index}"):
                given, mine = state_dict.get(prefix + name), getattr(self, name)
                if given is None:
                    setattr(self, name, None if name.startswith("offset") else mine)
                elif mine is None or mine.shape != given.shape:
                    kind = torch.promote_types(given.dtype, like.dtype)
                    setattr(self, name, torch.empty(given.shape, dtype=kind, device=like.device))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def to_nir(self, path: str | Path | None = None, accept_reset_to_value: bool = False) -> Any:
        """NIR graph of this network, written to `path` if given; see `conversion.nir.export`."""
        return export(self.plan, self.layers, path, accept_reset_to_value)

    def _simulations(
        self, parts: Sequence[Tensor], schedule: Schedule, precision: Precision, tally: SpikeTally
    ) -> list[Simulation]:
        """Fresh simulations of parts of one batch, compiled where that is possible."""
        layers = self.layers
        on_wire = units(self.plan, self.thresholds)
        if not compiled.available(parts[0]):
            return [Simulation(self.plan, layers, on_wire, part, tally) for part in parts]
        fitted = [tensor for name, tensor in self.named_buffers(recurse=False)]
        tensors = [*self.captured.parameters(), *self.captured.buffers(), *fitted]
        state = (precision, *((tensor.data_ptr(), tensor._version) for tensor in tensors))
        if self._prepared is None or self._prepared[0] != state:  # first run, or somebody changed a weight
            self._prepared = (state, compiled.Prepared(self.plan, layers, on_wire, precision))
        prepared = self._prepared[1]
        planes = self._planes
        buffers = Buffers(MOST_KEPT if self.memory_mib is None else 0)
        simulations: list[Simulation] = []
        for part in parts:
            whole = len(part) == len(parts[0])  # what is left of a batch may be better off otherwise
            tables = schedule.tables if whole else uses_tables(len(part), schedule.chunk, precision, planes)
            kind = TableSimulation if tables else compiled.CompiledSimulation
            simulations.append(kind(self.plan, layers, on_wire, part, prepared, tally, buffers))
        return simulations

    def _readouts(
        self, images: Tensor, steps: list[int], chunk: int, precision: Precision
    ) -> Generator[Readout, None, None]:
        self._check_size(images)
        precision = effective_precision(images, precision)
        if any(neuron.whole_window for neuron in self._neurons.values()):
            for t in steps:
                yield from self._within_budget(images, [t], t, precision)
        else:
            yield from self._within_budget(images, steps, chunk, precision)

    def _within_budget(
        self, images: Tensor, readouts: list[int], chunk: int, precision: Precision
    ) -> Generator[Readout, None, None]:
        """Run all images at once, or as many as the budget holds, one group after the other."""
        together = len(images)
        if self.memory_mib is not None and together:
            together, chunk = self._cut(images, chunk, precision)
        groups = images.split(together or 1)
        if len(groups) == 1:
            yield from self._run(images, readouts, chunk, precision)
            return
        runs = [list(self._run(group, readouts, chunk, precision)) for group in groups]
        for parts in zip(*runs, strict=True):
            yield of_all_images(parts, [len(group) for group in groups], self.plan.of_images)

    def _cut(self, images: Tensor, chunk: int, precision: Precision) -> tuple[int, int]:
        """How many images and time steps the budget holds."""
        on_wire = units(self.plan, self.thresholds)
        fusions = find_fusions(self.plan, on_wire) if compiled.available(images) else None
        values = self.connectivity(images).values
        need = footprint(self.plan, self.layers, values, fusions, on_wire)
        whole = any(neuron.whole_window for neuron in self._neurons.values())

        def at_once(count: int, steps: int) -> int:
            return self._images_at_once(images[:count], steps, precision)

        assert self.memory_mib is not None
        return fit_into(self.memory_mib, need, len(images), chunk, at_once, whole)

    def _check_size(self, images: Tensor) -> None:
        """Potentials of single neurons, unlike those of channels, fit images of one size."""
        (image,) = (node for node in self.plan.captured.graph.nodes if node.op == "placeholder")
        fitted = self.plan.shapes[image][1:]
        if images.shape[1:] == fitted:
            return
        for name, layer in self.layers.items():
            if layer.initial[0, :1].numel() > 1:
                raise ConversionError(
                    f"layer '{name}': initial potentials were fitted neuron by neuron for images of size "
                    f"{tuple(fitted)}, got {tuple(images.shape[1:])}; fit them by channel, with "
                    "{correction: {name: layerwise, per_channel: true}}"
                )

    def _run(
        self, images: Tensor, readouts: list[int], chunk: int, precision: Precision
    ) -> Generator[Readout, None, None]:
        """One simulation, read out at the given steps."""
        coding = self.plan.neuron.coding
        schedule = self._schedule(images, readouts[-1], chunk, precision)
        parts = images.split(schedule.images)
        of_images = self.plan.of_images
        wiring = self.connectivity(images)
        tally = SpikeTally(wiring.groups, wiring.sizes)
        simulations = self._simulations(parts, schedule, precision, tally)
        totals: list[Any] = [None] * len(parts)
        rest = joined([simulation.begin() for simulation in simulations], of_images)
        starts = {t: self.window.start(t) for t in readouts}
        at: dict[int, Any] = {}  # weighted sums up to the steps where windows start
        now = 0
        for stop in sorted({*readouts, *starts.values()} - {0}):
            while now < stop:
                steps = min(schedule.chunk, stop - now)
                started = time.perf_counter()
                weights = coding.weights(now, steps)
                for index, simulation in enumerate(simulations):
                    output = simulation.advance(steps)
                    totals[index] = _accumulated(totals[index], output, steps, weights)
                    del output  # before the next chunk runs
                now += steps
                self._probe.note(time.perf_counter() - started, wiring.macs * len(images) * steps)
            total = joined(totals, of_images)
            if stop in starts.values():
                at[stop] = total
            if stop in starts:
                start = starts[stop]
                if start:
                    total = added(total, map_structure(torch.neg, Tensor, at[start]))
                mean = decoded(coding, total, rest, stop - start)
                activity = measure(tally.maps, wiring, len(images))
                yield Readout(stop, stop - start, self.plan.steps_run(stop), mean, activity)

    def _images_at_once(self, images: Tensor, chunk: int, precision: Precision) -> int:
        """How many images go through a layer together by the rule."""
        return self._by_rule(images, chunk, precision).images

    def _by_rule(self, images: Tensor, chunk: int, precision: Precision) -> Schedule:
        """What goes through a layer together; see `conversion.simulation.compiled.schedule`."""
        kernel = precision if compiled.available(images) else None
        return by_rule(self.plan, images, chunk, kernel, self._planes)

    def _schedule(self, images: Tensor, last: int, chunk: int, precision: Precision) -> Schedule:
        """The rule's choice, or a faster one that was measured; see `conversion.simulation.probe`."""
        rule = self._by_rule(images, chunk, precision)
        whole = any(neuron.whole_window for neuron in self._neurons.values())
        if whole or images.device.type != "cpu" or not len(images) or self.memory_mib is not None:
            return rule
        available = compiled.available(images)
        options = candidates(rule, len(images), chunk, available, self._planes)
        operations = self.connectivity(images).macs * len(images) * last
        situation = (tuple(images.shape[1:]), images.dtype, precision, available)
        return self._probe.choose(options, operations, situation, partial(self._timed, images, precision))

    def _timed(self, images: Tensor, precision: Precision, schedule: Schedule, budget: float) -> float:
        """Seconds for one image and step; nothing of this simulation is kept."""
        part = images[: schedule.images]
        wiring = self.connectivity(images)
        tally = SpikeTally(wiring.groups, wiring.sizes)
        times: list[float] = []
        with torch.random.fork_rng(devices=[]):
            (simulation,) = self._simulations([part], schedule, precision, tally)
            simulation.begin()
            while len(times) < LEAST_CHUNKS or sum(times) + times[-1] < budget:
                started = time.perf_counter()
                simulation.advance(schedule.chunk)
                times.append(time.perf_counter() - started)
        return min(times[1:]) / (len(part) * schedule.chunk)  # the first also computes what is constant

    @property
    def _planes(self) -> int:
        """Planes of bits that hold the spikes of one step; see `conversion.simulation.compiled.schedule`."""
        return planes_for([layer.neuron for layer in self.layers.values()])


def effective_precision(images: Tensor, precision: Precision) -> Precision:
    """Precision that `simulate` really uses: integers need the compiled kernel with synapses.

    Says so once where a faster precision is asked for in vain.
    """
    if not isinstance(precision, str) or precision not in PLANES:
        raise ValueError(f"precision must be one of {', '.join(PLANES)}, got '{precision}'")
    if precision == "float32" or (compiled.available(images) and has_synapses()):
        return precision
    _say_once(
        f"{precision} needs a C compiler and a CPU with AVX2 or AVX-512 VNNI; simulating in float32 instead"
    )
    return "float32"


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)


def _accumulated(total: Any, output: Any, steps: int, weights: Tensor | None) -> Any:
    """A sum over time with the output of more steps; None is the sum of nothing."""
    charge = map_structure(partial(summed, steps, weights), Signal, output)
    return charge if total is None else added(total, charge)
