"""The converted network: simulate it, read it out at any time step, ask what it cost."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from conversion import compiled_simulator, nir_export
from conversion.compiled_layers import PLANES
from conversion.native import has_synapses
from conversion.operations import Kind
from conversion.plan import Entry, Plan, units
from conversion.recipes import Recipe
from conversion.signals import Signal, map_structure
from conversion.simulator import Simulation
from conversion.synapses import Connectivity, connectivity

Precision = Literal["float32", "int16", "int8"]
CACHE_BYTES = 4 * 2**20  # spikes of one layer and one chunk that stay close to the cores
DEFAULT_CHUNK = 16  # time steps pushed through one layer before the next


@dataclass(frozen=True)
class Activity:
    """Spikes and synaptic operations of a batch, summed over its images and over time up to t."""

    images: int
    spikes: Mapping[str, float]  # source layer -> spikes; a burst of n counts n, a negative spike 1
    synops: Mapping[str, float]  # synaptic layer -> synaptic operations


@dataclass(frozen=True)
class Readout:
    """What the network says after t time steps."""

    t: int  # averaged output steps
    t_total: int  # every step the network ran
    output: Any  # mean output over steps 1..t, structured as the ANN's output
    activity: Activity


class Converted(nn.Module):
    """Base of converted networks: the plan, the report, the exact connectivity.

    Attributes:
        recipe: the conversion method.
        report: what became of every operation, in graph order.
    """

    def __init__(self, plan: Plan, report: list[Entry]) -> None:
        super().__init__()
        self.captured = plan.captured
        self.plan = plan
        self.report = report
        self._connectivity: dict[torch.Size, Connectivity] = {}

    def train(self, mode: bool = True) -> Self:
        """Set the mode of this module; the converted network itself always evaluates."""
        super().train(mode)
        self.captured.eval()
        return self

    @property
    def recipe(self) -> Recipe:
        """The conversion method."""
        return self.plan.recipe

    def connectivity(self, images: Tensor) -> Connectivity:
        """Synapses of every layer for images of this size; measured once a size."""
        size = images.shape[1:]
        if size not in self._connectivity:
            self._connectivity[size] = connectivity(self.plan, images[:1])
        return self._connectivity[size]

    def simulate(
        self,
        images: Tensor,
        time_steps: Iterable[int],
        chunk: int = DEFAULT_CHUNK,
        precision: Precision = "float32",
    ) -> Generator[Readout, None, None]:
        """Read-outs at the given time steps, from one simulation."""
        raise NotImplementedError

    def forward(self, images: Tensor, time_steps: int = 64) -> Any:
        """Mean output after `time_steps` steps, for images [B, C, H, W]."""
        *_, last = self.simulate(images, (time_steps,))
        return last.output


class SpikingNetwork(Converted):
    """A network whose activations are spike trains.

    Args:
        plan: captured graph with the role of every operation.
        thresholds: per neuron layer, [1, C, 1, ...] or [1, 1, ...], in units of its activation.
        report: what became of every operation.
    """

    def __init__(self, plan: Plan, thresholds: Mapping[str, Tensor], report: list[Entry]) -> None:
        super().__init__(plan, report)
        self._threshold_names = list(thresholds)
        self._prepared: tuple[Any, compiled_simulator.Prepared] | None = None
        for index, name in enumerate(thresholds):
            self.register_buffer(f"threshold_{index}", thresholds[name], persistent=True)

    @property
    def thresholds(self) -> dict[str, Tensor]:
        """Threshold of each neuron layer, broadcastable to its activations [B, C, ...]."""
        names = enumerate(self._threshold_names)
        return {name: self.get_buffer(f"threshold_{index}") for index, name in names}

    def to_nir(self, path: str | Path | None = None, accept_reset_to_value: bool = False) -> Any:
        """NIR graph of this network, written to `path` if given; see `conversion.nir_export`."""
        return nir_export.export(self.plan, self.thresholds, path, accept_reset_to_value)

    def _simulations(self, parts: Sequence[Tensor], precision: Precision) -> list[Simulation]:
        """Fresh simulations of parts of one batch, compiled where that is possible."""
        thresholds = self.thresholds
        on_wire = units(self.plan, thresholds)
        if not compiled_simulator.available(parts[0]):
            return [Simulation(self.plan, thresholds, on_wire, part) for part in parts]
        tensors = [*self.captured.parameters(), *self.captured.buffers(), *thresholds.values()]
        state = (precision, *((tensor.data_ptr(), tensor._version) for tensor in tensors))
        if self._prepared is None or self._prepared[0] != state:  # first run, or somebody changed a weight
            prepared = compiled_simulator.Prepared(self.plan, thresholds, on_wire, precision)
            self._prepared = (state, prepared)
        compiled = self._prepared[1]
        return [
            compiled_simulator.CompiledSimulation(self.plan, thresholds, on_wire, part, compiled)
            for part in parts
        ]

    @torch.no_grad()
    def simulate(
        self,
        images: Tensor,
        time_steps: Iterable[int],
        chunk: int = DEFAULT_CHUNK,
        precision: Precision = "float32",
    ) -> Generator[Readout, None, None]:
        """Run the network on constant analog images and read it out.

        Memory is bounded by `chunk`, not by the number of time steps. Stop iterating to stop early.

        Args:
            images: analog input [B, C, H, W], presented in every step.
            time_steps: when to read out; sorted, duplicates removed.
            chunk: most time steps that pass through a layer at once.
            precision: of the weights that spikes meet; "int16" and "int8" are faster fixed point,
                where the machine has it (see `effective_precision`), with one scale per output
                channel. Membranes and everything else stay float32.

        Yields:
            One read-out per time step, in order.

        Raises:
            ValueError: a time step or the chunk is not positive, or the precision is unknown.
        """
        readouts = checked_time_steps(time_steps)
        if chunk < 1:
            raise ValueError(f"chunk must be at least 1, got {chunk}")
        precision = effective_precision(images, precision)
        parts = images.split(self._images_at_once(images, chunk))
        simulations = self._simulations(parts, precision)
        wiring = self.connectivity(images)
        totals: list[Any] = [None] * len(parts)
        now = 0
        for t in readouts:
            while now < t:
                steps = min(chunk, t - now)
                for index, simulation in enumerate(simulations):
                    charge = map_structure(partial(_summed, steps), Signal, simulation.advance(steps))
                    totals[index] = charge if totals[index] is None else _add(totals[index], charge)
                now += steps
            mean = map_structure(partial(_divided, t), Tensor, _joined(totals, [len(part) for part in parts]))
            spike_maps = _summed_maps([simulation.spike_maps for simulation in simulations])
            yield Readout(t, t, mean, measure(spike_maps, wiring, len(images)))

    def _images_at_once(self, images: Tensor, chunk: int) -> int:
        """How many images go through a layer together: what they leave behind should stay in cache."""
        if images.device.type != "cpu":
            return len(images) or 1
        neurons = [self.plan.shapes[node] for node in self.plan.nodes_of(Kind.NEURON)]
        largest: float = max((shape[1:].numel() for shape in neurons), default=1)
        calibrated = next(shape for node, shape in self.plan.shapes.items() if node.op == "placeholder")
        largest = largest * images[0].numel() / calibrated[1:].numel() if len(images) else largest
        value_bytes = 1 if compiled_simulator.available(images) else 4
        return max(1, int(CACHE_BYTES / (largest * value_bytes * chunk)))


def effective_precision(images: Tensor, precision: Precision) -> Precision:
    """Precision that `simulate` really uses: integers need the compiled kernel and AVX-512 VNNI.

    Says so once where a faster precision is asked for in vain.
    """
    if precision not in PLANES:
        raise ValueError(f"precision must be one of {', '.join(PLANES)}, got '{precision}'")
    if precision == "float32" or (compiled_simulator.available(images) and has_synapses()):
        return precision
    _say_once(f"{precision} needs a C compiler and a CPU with AVX-512 VNNI; simulating in float32 instead")
    return "float32"


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)


def checked_time_steps(time_steps: Iterable[int]) -> list[int]:
    """Sorted time steps without duplicates; ValueError unless all are positive whole numbers."""
    steps = sorted(set(time_steps))
    if not steps or any(not isinstance(t, int) or t < 1 for t in steps):
        raise ValueError(f"time steps must be positive whole numbers, got {steps or 'none'}")
    return steps


def measure(spike_maps: Mapping[str, Tensor], wiring: Connectivity, images: int) -> Activity:
    """Spikes and exact SynOps from spike maps [C, ...] summed over images and time.

    A pool that passes on currents or the image sends no spikes and is left out.
    """
    spikes = {name: float(spike_maps[name].sum()) for name in spike_maps if name in wiring.units}
    synops = {layer.name: layer.synops(spike_maps) for layer in wiring.layers}
    return Activity(images, spikes, synops)


def _summed_maps(maps: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([part[name] for part in maps]).sum(0) for name in maps[0]}


def _joined(parts: list[Any], sizes: list[int]) -> Any:
    """One output for all images from those of its parts; what has no axis of images is the same in all."""
    first = parts[0]
    if isinstance(first, Tensor):
        if all(part.ndim and len(part) == size for part, size in zip(parts, sizes, strict=True)):
            return torch.cat(parts)
        return first
    if isinstance(first, dict):
        return {key: _joined([part[key] for part in parts], sizes) for key in first}
    if isinstance(first, list | tuple):
        items = [_joined(list(column), sizes) for column in zip(*parts, strict=True)]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    return first


def _summed(steps: int, signal: Signal) -> Tensor:
    return signal.data * steps if signal.steps == 1 else signal.timed.sum(0)


def _divided(t: int, tensor: Tensor) -> Tensor:
    return tensor / t


def _add(total: Any, more: Any) -> Any:
    if isinstance(total, Tensor):
        return total + more
    if isinstance(total, dict):
        return {key: _add(value, more[key]) for key, value in total.items()}
    if isinstance(total, tuple) and hasattr(total, "_fields"):
        return type(total)(*(_add(a, b) for a, b in zip(total, more, strict=True)))
    if isinstance(total, list | tuple):
        return type(total)(_add(a, b) for a, b in zip(total, more, strict=True))
    return total


def source_layers(network: Converted) -> list[tuple[str, Kind]]:
    """Names and kinds of the layers that emit spikes."""
    roles = network.plan.roles.values()
    return [(role.name, role.kind) for role in roles if role.kind in (Kind.NEURON, Kind.POOLING)]
