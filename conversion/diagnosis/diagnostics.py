"""Where a spiking network departs from its ANN: layer by layer, and in parts that name the cause.

    snn = convert(ann, recipe="opi", calibration=images)
    diagnosis = diagnose(ann, snn, images, time_steps=(8, 32))
    diagnosis.plot("opi.png")

`conversion.diagnosis.error_parts` says what the parts are and why they add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from conversion.converted import DEFAULT_CHUNK, Converted, checked_time_steps
from conversion.diagnosis.error_parts import LayerError, Observation, Tally
from conversion.diagnosis.plot import draw
from conversion.errors import ConversionError
from conversion.graph.capture import capture
from conversion.graph.operations import Kind
from conversion.graph.pool_order import pools_first
from conversion.graph.roles import sort_into_roles
from conversion.inputs import takes
from conversion.network import SpikingNetwork
from conversion.neurons.quantiser import Quantiser
from conversion.plan.fitted import Fitted
from conversion.plan.layer import SpikingLayer
from conversion.signals.coding import RATE
from conversion.signals.signals import Signal
from conversion.simulation.choice import ReferenceLayers
from conversion.simulation.walk import Walk, WalkState


@dataclass(frozen=True)
class Diagnosis:
    """Errors of every neuron layer at every time step.

    Attributes:
        recipe: label of the conversion method.
        images: number of images that means run over.
        rows: one per time step and layer, in this order.
    """

    recipe: str
    images: int
    rows: tuple[LayerError, ...]

    @property
    def time_steps(self) -> list[int]:
        """Time steps, in order."""
        return sorted({row.t for row in self.rows})

    def at(self, t: int) -> list[LayerError]:
        """The layers at one time step, first layer first."""
        return [row for row in self.rows if row.t == t]

    def to_rows(self) -> list[dict[str, Any]]:
        """Rows as plain dicts, ready for a table or a file."""
        return [row.to_row() for row in self.rows]

    def plot(self, path: str | Path) -> None:
        """Draw the errors over depth; see `conversion.diagnosis.plot.draw`.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: no image format is known by this suffix.
        """
        rows_at = {t: self.at(t) for t in self.time_steps}
        draw(rows_at, f"{self.recipe}, {self.images} images", path)


@torch.no_grad()
def diagnose(
    ann: nn.Module,
    snn: Converted,
    images: Tensor,
    time_steps: Iterable[int],
    batch_size: int = 8,
    chunk: int = DEFAULT_CHUNK,
) -> Diagnosis:
    """Compare the ANN's activations with the spiking network's rates and split the error.

    Args:
        ann: the network that `snn` was converted from; left untouched.
        snn: the converted network.
        images: [B, C, H, W], normalised as the networks expect them.
        time_steps: when to compare.
        batch_size: images simulated at once; bounds memory.
        chunk: most time steps that pass through a layer at once; bounds memory.

    Raises:
        ConversionError: `snn` sends no spikes, or none that are rates, or has other layers than `ann`.
        ValueError: there are no images, or a time step, the batch size or the chunk is not positive.
    """
    steps = checked_time_steps(time_steps)
    if not len(images):
        raise ValueError("no images to compare the networks on")
    if batch_size < 1 or chunk < 1:
        raise ValueError(f"batch size and chunk must be at least 1, got {batch_size} and {chunk}")
    if isinstance(snn.recipe.neuron, Quantiser):
        raise ConversionError(
            f"recipe '{snn.recipe.label}' sends no spikes, so there are no rates to compare"
        )
    coding = snn.plan.neuron.coding
    if coding is not RATE:
        raise ConversionError(
            f"recipe '{snn.recipe.label}': spikes of neuron '{snn.recipe.neuron.name}' are coded by "
            f"{coding.name}; only rates can be compared"
        )
    networks = {t: network for t in steps if isinstance(network := snn.at(t), SpikingNetwork)}
    thresholds = networks[steps[0]].thresholds
    device = next((threshold.device for threshold in thresholds.values()), images.device)
    # As it was converted: some networks are traced for one size, or move the images of a batch.
    captured = capture(ann, images=images[:1].to(takes(ann).device)).to(device)
    sample = images[:2].to(device)
    if snn.recipe.pooling.takes_currents:
        pools_first(captured, sample)
    observer = _AnnRun(captured, sample)
    if observer.layers != list(thresholds):
        raise ConversionError(
            f"neuron layers of the two networks differ: {_first_difference(observer.layers, thresholds)}; "
            "pass the network that was converted"
        )
    tallies = {
        (t, name): Tally(layer.threshold, t, _all_added(layer, t), layer.neuron)
        for t, network in networks.items()
        for name, layer in network.layers.items()
    }
    for batch in images.split(batch_size):
        batch = batch.to(device)
        observer.run(batch)
        for t, recorder in _recordings(networks, batch, chunk):
            for layer in thresholds:
                tallies[t, layer].add(recorder.observation(layer, *observer.seen[layer]))
    rows = (
        tallies[t, layer].result(layer, depth) for t in steps for depth, layer in enumerate(thresholds, 1)
    )
    return Diagnosis(snn.recipe.label, len(images), tuple(rows))


def _first_difference(ann: list[str], snn: Iterable[str]) -> str:
    theirs = list(snn)
    for mine, other in zip(ann, theirs, strict=False):
        if mine != other:
            return f"'{mine}' in the ANN is '{other}' in the spiking network"
    return f"{len(ann)} in the ANN, {len(theirs)} in the spiking network"


class _AnnRun(fx.Interpreter):
    """Runs the ANN and keeps input and output of every neuron layer."""

    def __init__(self, captured: fx.GraphModule, images: Tensor) -> None:
        super().__init__(captured)
        roles = sort_into_roles(captured, images)
        self._names = {node: role.name for node, role in roles.items() if role.kind is Kind.NEURON}
        self.seen: dict[str, tuple[Tensor, Tensor]] = {}  # layer -> activation, drive

    @property
    def layers(self) -> list[str]:
        """Names of the neuron layers, in the order of computation."""
        return list(self._names.values())

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n in self._names:
            self.seen[self._names[n]] = (value, self.env[n.all_input_nodes[0]])
        return value


class _Recorder(ReferenceLayers):
    """Layers that record, neuron by neuron, what came in and what went out."""

    def __init__(self, fitted: Fitted, images: Tensor) -> None:
        progress = WalkState()
        super().__init__(fitted, images, progress)
        self._totals: dict[str, Tensor] = {}  # layer -> charge, net spikes, spikes: [3, B, ...]
        self._arrived: dict[str, Tensor] = {}  # charge of the present chunk, [B, ...]
        self._telescoped: set[str] = set()  # layers that receive increments of their activation
        self._walk = Walk(fitted.plan, self, progress)
        self._walk.begin()
        self._totals.clear()  # of the steps before the read-out

    def advance(self, steps: int) -> None:
        """Run more steps."""
        self._walk.advance(steps)

    def received(self, node: fx.Node, name: str, current: Signal, steps: int) -> Signal:
        """What a layer of neurons turns into spikes, whose charge is remembered."""
        signal = super().received(node, name, current, steps)
        self._arrived[name] = signal.timed.sum(0, dtype=torch.float64) * (steps / signal.steps)
        if self._plan.telescoped(node) is not None:
            self._telescoped.add(name)
        return signal

    def neuron(self, node: fx.Node, name: str, current: Signal, steps: int) -> Signal:
        """What a layer of neurons sends, which is remembered."""
        output = super().neuron(node, name, current, steps)
        arrived = self._arrived.pop(name)
        neuron = self._fitted.layers[name].neuron
        spikes = output.timed / self._fitted.layers[name].threshold
        if neuron.integral:
            spikes = spikes.round()
        counts = [total.double() for total in (spikes.sum(0), neuron.events(spikes).sum(0))]
        totals = torch.stack([arrived, *counts])
        self._totals[name] = self._totals[name] + totals if name in self._totals else totals
        return output

    def observation(self, layer: str, activation: Tensor, drive: Tensor) -> Observation:
        """What a layer did so far, beside the ANN's activation and its input."""
        if layer in self._telescoped:
            drive = activation
        return Observation(activation, drive, *self._totals[layer])


def _all_added(layer: SpikingLayer, t: int) -> Tensor:
    """Initial membrane, and what a constant current of the neurons' own adds to it in t steps."""
    return layer.initial if layer.offset is None else layer.initial + layer.offset / layer.threshold * t


def _recordings(
    networks: Mapping[int, SpikingNetwork], images: Tensor, chunk: int
) -> Iterator[tuple[int, _Recorder]]:
    """A simulation of each network, handed out at its time steps; one for each step, if windows are whole."""
    recorder, simulated, now = None, None, 0
    for t, network in networks.items():
        whole = network.plan.neuron.whole_window
        if recorder is None or whole or network is not simulated:
            recorder, now = _Recorder(network.fitted, images), 0
            simulated = network
        while now < t:
            advanced = t if whole else min(chunk, t - now)
            recorder.advance(advanced)
            now += advanced
        yield t, recorder
