"""How much memory a simulation takes, and how it is cut so that it stays within a budget.

What an image takes has two parts: what is kept from one chunk of time to the next (states of neurons and
pools, and what does not change over time), and what passes through the graph in one chunk. The first does
not depend on the chunk, the second grows with it; both are known before anything runs. Weights, images,
read-outs and what the ANN's own forward pass takes are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from torch import fx

from conversion.errors import MemoryBudgetError
from conversion.graph.nodes import last_uses
from conversion.graph.operations import Kind
from conversion.plan.fitted import Fitted
from conversion.plan.layer import SpikingLayer
from conversion.signals.coding import RATE

FLOAT = 4  # bytes
MIB = 2**20


@dataclass(frozen=True)
class Footprint:
    """Bytes that one image takes.

    Attributes:
        kept: from chunk to chunk.
        moments: while each operation runs, in order: (bytes whatever the chunk, bytes for each of its steps).
        least_steps: that pass through at once, whatever the chunk: those before the read-out.
    """

    kept: float
    moments: tuple[tuple[float, float], ...]
    least_steps: int = 1

    def passing(self, chunk: int) -> float:
        """Most bytes that pass through at once, in a chunk of this many steps."""
        steps = max(chunk, self.least_steps)
        return max((fixed + steps * step for fixed, step in self.moments), default=0.0)

    def total(self, images: int, at_once: int, chunk: int) -> float:
        """Bytes for `images` images, of which `at_once` go through a layer together."""
        return images * self.kept + min(images, at_once) * self.passing(chunk)


@dataclass(frozen=True)
class Fused:
    """How a backend holds a layer of neurons that it runs together with what flows into it.

    Attributes:
        absorbed: operations that run inside the layer.
        in_bytes: spikes are held in bytes, not in floats.
        fires: the neurons fire inside as well, so that no currents are held.
    """

    absorbed: frozenset[fx.Node]
    in_bytes: bool
    fires: bool


def footprint(fitted: Fitted, values: Mapping[str, int], fused: Mapping[fx.Node, Fused]) -> Footprint:
    """What one image takes.

    Args:
        fitted: what runs.
        values: operation -> values it gives for one image in one step, as `Connectivity.values`.
        fused: layers that run together with what flows into them.
    """
    return _Walk(fitted, values, fused).footprint()


def fit_into(
    budget_mib: float,
    need: Footprint,
    images: int,
    chunk: int,
    at_once: Callable[[int, int], int],
    whole_window: bool,
) -> tuple[int, int]:
    """The largest chunk of time, and then as many images, as fit into a budget.

    Args:
        budget_mib: MiB.
        need: of one image.
        images: in the batch.
        chunk: most steps at once.
        at_once: (images, chunk) -> images that go through a layer together.
        whole_window: the chunk cannot be shorter.

    Returns:
        Images to simulate from the first step to the last before others begin, and the chunk.

    Raises:
        MemoryBudgetError: not even one image fits; names the smallest budget that would do.
    """
    budget = budget_mib * MIB
    chunks = [chunk]
    while chunks[-1] > 1 and not whole_window:
        chunks.append(chunks[-1] // 2)
    for steps in chunks:
        for count in range(images, 0, -1):
            if need.total(count, at_once(count, steps), steps) <= budget:
                return count, steps
    steps = chunks[-1]
    least, kept = _tenths(need.total(1, 1, steps)), _tenths(need.kept)
    window = f", whose neurons need all {steps} steps of the window at once," if whole_window else ""
    raise MemoryBudgetError(
        f"one image{window} takes {least} MiB to simulate, {kept} MiB of it for states of neurons and pools; "
        f"the budget is {budget_mib:g} MiB. Set memory_mib to at least {least}, or use smaller images"
        + (" or fewer time steps" if whole_window else "")
    )


def _tenths(size: float) -> float:
    """Bytes in MiB, rounded up."""
    return math.ceil(10 * size / MIB) / 10


class _Walk:
    """Goes through the graph as a simulation does, and adds up what it would hold."""

    def __init__(self, fitted: Fitted, values: Mapping[str, int], fused: Mapping[fx.Node, Fused]) -> None:
        self._fitted, self._plan, self._values = fitted, fitted.plan, values
        self._fused = fused
        self._bytes: dict[fx.Node, int] = {}  # of one value, where a chunk of time is held
        self._constant: set[fx.Node] = set()

    def footprint(self) -> Footprint:
        graph = self._plan.captured.graph
        run_by = {neuron: layer.absorbed for neuron, layer in self._fused.items()}
        absorbed = {node for nodes in run_by.values() for node in nodes}
        last_use = last_uses(graph, run_by)
        kept, moments = 0.0, list[tuple[float, float]]()
        live: dict[fx.Node, float] = {}
        for node in graph.nodes:
            if node.op == "output":  # sums over time: all of it, where its window starts, and of one chunk
                kept += 3 * FLOAT * sum(self._size(source) for source in node.all_input_nodes)
            if node in absorbed or node.op in ("output", "get_attr"):
                continue
            sources = self._sources(node, run_by.get(node, ()))
            self._enter(node, sources)
            size = self._size(node)
            state, fixed, step = self._work(node, sources)
            if node in self._constant:
                kept += FLOAT * size
                moments.append((fixed + step, sum(live.values())))
            else:
                live[node] = self._bytes[node] * size
                moments.append((fixed, step + sum(live.values())))
            kept += state
            for source in last_use.get(node, ()):
                live.pop(source, None)
        return Footprint(kept, tuple(moments), self._plan.method.initial.steps)

    def _size(self, node: fx.Node) -> int:
        return self._values.get(node.name, 0)

    def _sources(self, node: fx.Node, absorbed: Collection[fx.Node]) -> list[fx.Node]:
        inputs = [source for reader in (node, *absorbed) for source in reader.all_input_nodes]
        return [source for source in dict.fromkeys(inputs) if source in self._bytes]

    def _enter(self, node: fx.Node, sources: list[fx.Node]) -> None:
        """Note how a value is held: constant, spikes as bytes, or floats."""
        role = self._plan.roles.get(node)
        kind = role.kind if role is not None else None
        constant = all(source in self._constant for source in sources) and kind is not Kind.NEURON
        if constant and not (node.op == "placeholder" and self._plan.neuron.coding.needs_rest):
            self._constant.add(node)
        in_bytes = False
        if kind is Kind.NEURON:
            in_bytes = node in self._fused and self._fused[node].in_bytes
        elif kind in (Kind.POOLING, Kind.ROUTING) and self._fitted.spike_values.get(node) is not None:
            in_bytes = all(self._bytes[source] == 1 for source in sources)
        rate = self._plan.neuron.coding is RATE
        self._bytes[node] = 1 if in_bytes and (rate or kind is Kind.NEURON) else FLOAT

    def _work(self, node: fx.Node, sources: list[fx.Node]) -> tuple[float, float, float]:
        """Bytes that an operation keeps, and takes while it runs: in all, and for each step."""
        role = self._plan.roles.get(node)
        if role is None or role.kind is Kind.SHAPE:
            return 0.0, 0.0, 0.0
        if role.kind is Kind.NEURON:
            return self._neurons(node, self._fitted.layers[role.name], sources)
        taken = sum(self._size(source) for source in sources)
        given = self._size(node)
        as_floats = 2 * FLOAT * sum(self._size(source) for source in sources if self._bytes[source] == 1)
        if role.kind in (Kind.POOLING, Kind.UNPOOLING):
            state = 0.0 if node in self._constant else FLOAT * (taken + given)
            rest = state if self._plan.neuron.coding.needs_rest else 0.0
            # running sum, maxima with their places, increments twice over, and counting
            return state + rest, state, as_floats + FLOAT * (taken + 7 * given)
        if role.kind is Kind.FUNCTION:
            state = 0.0 if node in self._constant else FLOAT * (taken + given)
            rest = state if self._plan.neuron.coding.needs_rest else 0.0
            # sums, means, values, increments
            return state + rest, state, as_floats + FLOAT * (2 * taken + 3 * given)
        if role.kind is Kind.WEIGHTED:
            return 0.0, 0.0, as_floats + FLOAT * (taken + given)  # convolutions reorder both
        repeated = FLOAT * sum(self._size(source) for source in sources if source in self._constant)
        return 0.0, 0.0, as_floats + repeated

    def _neurons(
        self, node: fx.Node, layer: SpikingLayer, sources: list[fx.Node]
    ) -> tuple[float, float, float]:
        size = self._size(node)
        entries = layer.neuron.start(torch.zeros(1, 1)).values()
        state = FLOAT * size * sum(entry.ndim > 0 for entry in entries)
        if self._plan.neuron.coding.needs_rest or self._plan.method.initial.steps:
            state += FLOAT * size
        telescoped = self._plan.telescoped(node) is not None
        kept = 5 if self._plan.neuron.coding.needs_rest else 3
        state += kept * FLOAT * size * telescoped  # sum, value (both also at rest), bound
        copies = sum(self._bytes[s] * self._size(s) for s in sources if s not in self._constant)
        constants = FLOAT * sum(self._size(s) for s in sources if s in self._constant)
        if node in self._fused and self._fused[node].fires and not self._plan.method.initial.steps:
            return state, FLOAT * size + constants, copies
        currents = FLOAT * size if node in self._fused else 0
        # the state after a step beside that before it; currents in thresholds, spikes, events, counts
        increments = 3 * FLOAT * size * telescoped  # sums, totals and their differences
        return state, state + 3 * FLOAT * size + constants, currents + increments + 4 * FLOAT * size
